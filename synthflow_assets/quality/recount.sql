-- Sums over the rows of a metric table, compared with sums over the calls.
WITH computed AS (
    SELECT day, {agent} AS model_id, unnest([{computed_sums}], max_depth := 2)
    FROM {table}
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY 1, 2
),
counted AS (
    SELECT day, {agent} AS model_id, unnest([{expected_sums}], max_depth := 2)
    FROM call_loads
    LEFT JOIN calls USING (day, model_id)
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY 1, 2
)
SELECT DISTINCT
    day,
    model_id,
    CASE
        WHEN counted.day IS NULL THEN 'computed, but never landed'
        WHEN computed.day IS NULL THEN 'landed, but not computed'
        ELSE format('{{}} sums to {{:.12g}}, expected {{:.12g}}', name, computed, expected)
    END AS problem
FROM computed
FULL JOIN counted USING (day, model_id, name)
WHERE
    counted.day IS NULL
    OR (computed.day IS NULL AND (expected > 0 OR {every_landed_day}))
    OR abs(computed - expected) > 1e-9
