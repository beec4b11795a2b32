-- Exact for each week: the percentiles come from the histogram. Short calls are summed from the days, because their
-- threshold is the setting at the time that each day was computed.
SELECT
    key.week,
    key.model_id,
    calls,
    connected_calls,
    short_calls,
    * EXCLUDE (key, calls, connected_calls, short_calls, week, model_id)
FROM duration_summary_by(
    '0001-01-01', '9999-12-31', {'week': date_trunc('week', day)::DATE, 'model_id': model_id}
) AS summary
JOIN (
    SELECT date_trunc('week', day)::DATE AS week, model_id, sum(short_calls)::BIGINT AS short_calls
    FROM call_duration_daily
    GROUP BY ALL
) AS short ON short.week = key.week AND short.model_id = key.model_id
