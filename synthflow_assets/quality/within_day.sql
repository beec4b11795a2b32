SELECT
    day,
    model_id,
    format('{} of {} calls started on another day in {}', count(*) FILTER (is_stray), count(*), $timezone) AS problem
FROM (
    SELECT day, model_id, NOT coalesce(epoch_ms(start_time) >= from_ms AND epoch_ms(start_time) < to_ms, false) AS is_stray
    FROM calls
    LEFT JOIN (
        SELECT unnest($bound_days::DATE[]) AS day, unnest($from_ms::BIGINT[]) AS from_ms, unnest($to_ms::BIGINT[]) AS to_ms
    ) USING (day)
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
)
GROUP BY day, model_id
HAVING bool_or(is_stray)
ORDER BY ALL
