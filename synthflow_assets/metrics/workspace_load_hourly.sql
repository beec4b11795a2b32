-- How busy all agents were together in each hour of the landed days.
WITH hours AS ({hours}),
call_hours AS ({call_hours}),
counted AS (
    SELECT
        hour_ms,
        count(*) FILTER (starts) AS calls_started,
        count(*) AS calls_in_progress,
        sum(to_ms - from_ms) / 60000 AS agent_minutes
    FROM call_hours
    GROUP BY hour_ms
),
changes AS (
    SELECT hour_ms, from_ms AS at_ms, 1 AS change FROM call_hours WHERE to_ms > from_ms
    UNION ALL
    SELECT hour_ms, to_ms, -1 FROM call_hours WHERE to_ms > from_ms
),
concurrent AS (
    SELECT
        hour_ms,
        sum(change) OVER (PARTITION BY hour_ms ORDER BY at_ms, change ROWS UNBOUNDED PRECEDING) AS calls
    FROM changes
),
peaks AS (
    SELECT hour_ms, max(calls) AS peak_concurrent_calls
    FROM concurrent
    GROUP BY hour_ms
)
SELECT
    day,
    make_timestamptz(hour_ms * 1000) AS hour_start,
    local_hour,
    coalesce(calls_started, 0) AS calls_started,
    coalesce(calls_in_progress, 0) AS calls_in_progress,
    coalesce(agent_minutes, 0) AS agent_minutes,
    coalesce(peak_concurrent_calls, 0)::BIGINT AS peak_concurrent_calls
FROM hours
LEFT JOIN counted USING (hour_ms)
LEFT JOIN peaks USING (hour_ms)
WHERE day IN (SELECT day FROM call_loads)
