-- The ids of these days are compared with the whole table. Hashes are compared first, because they take a quarter of the
-- memory. Then only ids with a repeated hash are compared.
WITH suspects AS (
    SELECT hash(call_id) AS id_hash
    FROM calls
    WHERE id_hash IN (SELECT hash(call_id) FROM calls WHERE $days IS NULL OR list_contains($days::DATE[], day))
    GROUP BY id_hash
    HAVING count(*) > 1
)
SELECT day, model_id, format('{} calls have a call_id that is in the table {} times', count(*), times) AS problem
FROM (
    SELECT day, model_id, count(*) OVER (PARTITION BY call_id) AS times
    FROM calls
    WHERE hash(call_id) IN (FROM suspects)
)
WHERE times > 1
GROUP BY day, model_id, times
ORDER BY ALL
LIMIT 100
