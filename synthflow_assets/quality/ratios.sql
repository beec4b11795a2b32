-- Rates of a metric table, compared with their numerators and denominators.
WITH rates AS (
    SELECT day, {agent} AS model_id, unnest([{rates}], max_depth := 2)
    FROM {table}
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
)
SELECT day, model_id, format('{{}} is not {{}} in {{}} rows', name, formula, count(*)) AS problem
FROM rates
WHERE NOT coalesce(abs(computed - expected) <= 1e-9, computed IS NULL AND expected IS NULL)
GROUP BY day, model_id, name, formula
