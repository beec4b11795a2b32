-- How busy all agents were together in each hour of the landed days.
WITH series AS (
    -- The hours that have been fetched for every agent.
    SELECT day, 'all agents' AS series, min(epoch_ms(fetched_until)) AS until_ms
    FROM call_loads
    GROUP BY day
),
spans AS (
    SELECT
        day,
        'all agents' AS series,
        epoch_ms(start_time) AS from_ms,
        from_ms + 1000 * coalesce(duration_seconds, 0) AS to_ms,
        coalesce(list_contains($connected_statuses::VARCHAR[], trim(call_status)), false) AS is_connected,
        call_outcome = 'person_reached' AS is_person_reached
    FROM calls
)
SELECT * EXCLUDE (series)
FROM ({traffic})
