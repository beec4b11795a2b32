-- How busy each agent was in each hour of the landed days.
WITH hours AS ({hours}),
call_hours AS ({call_hours}),
counted AS (
    SELECT
        model_id,
        hour_ms,
        count(*) FILTER (starts) AS calls_started,
        count(*) AS calls_in_progress,
        sum(to_ms - from_ms) / 60000 AS agent_minutes
    FROM call_hours
    GROUP BY model_id, hour_ms
),
-- At the same moment ends come before starts: a call that begins as another ends is not concurrent with it.
changes AS (
    SELECT model_id, hour_ms, from_ms AS at_ms, 1 AS change FROM call_hours WHERE to_ms > from_ms
    UNION ALL
    SELECT model_id, hour_ms, to_ms, -1 FROM call_hours WHERE to_ms > from_ms
),
concurrent AS (
    SELECT
        model_id,
        hour_ms,
        sum(change) OVER (PARTITION BY model_id, hour_ms ORDER BY at_ms, change ROWS UNBOUNDED PRECEDING) AS calls
    FROM changes
),
peaks AS (
    SELECT model_id, hour_ms, max(calls) AS peak_concurrent_calls
    FROM concurrent
    GROUP BY model_id, hour_ms
)
SELECT
    day,
    model_id,
    make_timestamptz(hour_ms * 1000) AS hour_start,
    local_hour,
    coalesce(calls_started, 0) AS calls_started,
    coalesce(calls_in_progress, 0) AS calls_in_progress,
    coalesce(agent_minutes, 0) AS agent_minutes,
    coalesce(peak_concurrent_calls, 0)::BIGINT AS peak_concurrent_calls
FROM hours
JOIN (SELECT day, model_id FROM call_loads WHERE day IN (SELECT unnest($days::DATE[]))) USING (day)
LEFT JOIN counted USING (model_id, hour_ms)
LEFT JOIN peaks USING (model_id, hour_ms)
