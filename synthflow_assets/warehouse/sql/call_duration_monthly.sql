-- Exact for each month: the percentiles come from the histogram. Short calls are summed from the days, because their
-- threshold is the setting at the time that each day was computed.
SELECT
    key.month,
    key.model_id,
    calls,
    connected_calls,
    short_calls,
    * EXCLUDE (key, calls, connected_calls, short_calls, month, model_id)
FROM duration_summary_by(
    '0001-01-01', '9999-12-31', {'month': date_trunc('month', day)::DATE, 'model_id': model_id}
) AS summary
JOIN (
    SELECT date_trunc('month', day)::DATE AS month, model_id, sum(short_calls)::BIGINT AS short_calls
    FROM call_duration_daily
    GROUP BY ALL
) AS short ON short.month = key.month AND short.model_id = key.model_id
