-- How busy all agents were together in each hour of the landed days.
WITH series AS (
    SELECT DISTINCT day, 'all agents' AS series
    FROM call_loads
),
spans AS (
    SELECT
        day,
        'all agents' AS series,
        epoch_ms(start_time) AS from_ms,
        from_ms + 1000 * coalesce(duration_seconds, 0) AS to_ms
    FROM calls
)
SELECT * EXCLUDE (series)
FROM ({traffic})
