-- How busy each agent was in each hour of the landed days.
WITH series AS (
    SELECT day, model_id AS series, epoch_ms(fetched_until) AS until_ms
    FROM call_loads
),
spans AS (
    SELECT
        day,
        model_id AS series,
        epoch_ms(start_time) AS from_ms,
        from_ms + 1000 * coalesce(duration_seconds, 0) AS to_ms,
        coalesce(list_contains($connected_statuses::VARCHAR[], trim(call_status)), false) AS is_connected,
        call_outcome = 'person_reached' AS is_person_reached
    FROM calls
)
SELECT series AS model_id, * EXCLUDE (series)
FROM ({traffic})
