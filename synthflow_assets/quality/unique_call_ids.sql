-- The days that were landed now are held against the whole table.
SELECT
    any_value(day) AS day,
    any_value(model_id) AS model_id,
    format('a call_id occurs {} times', count(*)) AS problem
FROM calls
WHERE call_id IN (SELECT call_id FROM calls WHERE $days IS NULL OR list_contains($days::DATE[], day))
GROUP BY call_id
HAVING count(*) > 1
ORDER BY ALL
LIMIT 100
