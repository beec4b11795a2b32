-- How busy each agent was in each hour of the landed days.
WITH hours AS ({hours}),
spans AS (
    SELECT
        day,
        model_id AS line,
        epoch_ms(start_time) AS from_ms,
        from_ms + 1000 * coalesce(duration_seconds, 0) AS to_ms
    FROM calls
),
load AS ({load})
SELECT
    day,
    model_id,
    make_timestamptz(hours.hour_ms * 1000) AS hour_start,
    local_hour,
    coalesce(calls_started, 0) AS calls_started,
    coalesce(calls_in_progress, 0) AS calls_in_progress,
    coalesce(agent_minutes, 0) AS agent_minutes,
    coalesce(peak_concurrent_calls, 0) AS peak_concurrent_calls
FROM hours
JOIN (SELECT day, model_id FROM call_loads WHERE day IN (SELECT unnest($days::DATE[]))) USING (day)
LEFT JOIN load ON load.line = model_id AND load.hour_ms = hours.hour_ms
