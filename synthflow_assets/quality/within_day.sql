SELECT
    day,
    model_id,
    format('{} of {} calls started on another day in {}', count(*) FILTER (is_stray), count(*), $timezone) AS problem
FROM (
    SELECT day, model_id, (start_time AT TIME ZONE $timezone)::DATE <> day AS is_stray
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
)
GROUP BY day, model_id
HAVING bool_or(is_stray)
ORDER BY ALL
