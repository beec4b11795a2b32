-- Calls that were listed for another day than they start on and are not stored, although their own day is complete. If their
-- own day has rejected records, they may be among these. If it has not landed yet, its own fetch may list them.
WITH outside AS (
    SELECT
        unnest($listed_days::DATE[]) AS listed_day,
        unnest($model_ids::VARCHAR[]) AS model_id,
        unnest($call_ids::VARCHAR[]) AS call_id,
        unnest($starts_ms::BIGINT[]) AS start_ms
),
bounds AS (
    SELECT unnest($bound_days::DATE[]) AS day, unnest($from_ms::BIGINT[]) AS from_ms, unnest($to_ms::BIGINT[]) AS to_ms
)
SELECT listed_day, model_id, call_id
FROM outside
JOIN bounds ON start_ms >= from_ms AND start_ms < to_ms
JOIN call_loads USING (day, model_id)
WHERE
    (settled OR list_contains($run_days::DATE[], day))
    AND fetched_until IS NULL
    AND (day, model_id) NOT IN (SELECT (day, model_id) FROM call_rejects WHERE reason <> $another_day)
    AND call_id NOT IN (
        SELECT call_id
        FROM calls
        WHERE day BETWEEN list_min($bound_days::DATE[]) AND list_max($bound_days::DATE[])
    )
ORDER BY ALL
