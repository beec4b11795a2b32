SELECT
    day,
    model_id,
    CASE
        WHEN metric.day IS NULL THEN 'landed, but not computed; materialize synthflow/call_duration_daily'
        WHEN loads.day IS NULL THEN 'computed, but never landed'
        ELSE format('{} calls computed, {} landed', calls, landed)
    END AS problem
FROM (FROM call_duration_daily WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS metric
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
WHERE calls IS DISTINCT FROM landed OR connected_calls > calls OR short_calls > connected_calls
ORDER BY ALL
