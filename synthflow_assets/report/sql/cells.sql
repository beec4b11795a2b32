-- The state of each fetched day and agent, as numbered in report/content.py, and its counts of calls. The counts come
-- from several tables: if one of these lacks a day, as after a run of some metrics alone, shares would be wrong.
WITH peaks AS (
    SELECT day, model_id, max(peak_concurrent_calls) AS peak
    FROM call_load_hourly
    WHERE day BETWEEN $first AND $last
    GROUP BY day, model_id
),
outcomes AS (
    SELECT
        day,
        model_id,
        sum(calls) FILTER (value = 'person_reached')::BIGINT AS person_reached_calls,
        sum(calls) FILTER (value = 'voicemail')::BIGINT AS voicemail_calls,
        sum(calls) FILTER (value = 'no_answer')::BIGINT AS no_answer_calls
    FROM call_outcomes_daily
    WHERE day BETWEEN $first AND $last AND dimension = 'outcome'
    GROUP BY day, model_id
),
metrics AS (
    SELECT
        day,
        model_id,
        durations.calls,
        durations.connected_calls,
        durations.total_duration_seconds AS connected_seconds,
        outcomes.person_reached_calls,
        outcomes.voicemail_calls,
        outcomes.no_answer_calls,
        rates.short_calls,
        rates.transfer_success_calls,
        rates.transfer_failed_calls,
        peaks.peak,
        callers.identified_calls,
        callers.callers,
        callers.new_callers,
        callers.repeat_callers_24h,
        callers.repeat_callers_7d,
        round(CASE WHEN costs.currency = $currency THEN costs.estimated_cost END / $cost_unit::DOUBLE)::BIGINT AS cost_units
    FROM call_duration_daily AS durations
    JOIN call_rates_daily AS rates USING (day, model_id)
    LEFT JOIN outcomes USING (day, model_id)
    LEFT JOIN peaks USING (day, model_id)
    LEFT JOIN callers_daily AS callers USING (day, model_id)
    LEFT JOIN call_costs_daily AS costs USING (day, model_id)
    WHERE day BETWEEN $first AND $last AND (durations.calls = 0 OR outcomes.model_id IS NOT NULL)
),
uncomputed AS (
    {uncomputed_metrics}
)
SELECT
    (day - $first) * $agents + agent AS cell,
    CASE
        WHEN metrics.calls IS NULL OR day IN (SELECT day FROM uncomputed) THEN 5
        WHEN loads.rejected > 0 THEN 4
        WHEN NOT loads.settled THEN 3
        ELSE 2
    END AS state,
    (metrics.calls IS NOT NULL)::INTEGER AS has_metrics,  -- perhaps of an earlier fetch
    loads.rejected,
    metrics.* EXCLUDE (day, model_id)
FROM call_loads AS loads
JOIN agent_numbers USING (model_id)
LEFT JOIN metrics USING (day, model_id)
WHERE day BETWEEN $first AND $last
