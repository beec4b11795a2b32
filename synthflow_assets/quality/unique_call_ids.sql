-- The days that were landed now are held against the whole table: by hashes of the ids first, which take a quarter of the
-- memory; only ids whose hash comes again are looked at themselves.
WITH suspects AS (
    SELECT hash(call_id) AS id_hash
    FROM calls
    WHERE id_hash IN (SELECT hash(call_id) FROM calls WHERE $days IS NULL OR list_contains($days::DATE[], day))
    GROUP BY id_hash
    HAVING count(*) > 1
)
SELECT
    any_value(day) AS day,
    any_value(model_id) AS model_id,
    format('a call_id occurs {} times', count(*)) AS problem
FROM calls
WHERE hash(call_id) IN (FROM suspects)
GROUP BY call_id
HAVING count(*) > 1
ORDER BY ALL
LIMIT 100
