-- Variables that agents asked for, and how often they were collected. Several agents of a call may ask for the same variable.
WITH asked AS (
    SELECT day, model_id, call_id, unnest(variables, max_depth := 2)
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
by_call AS (
    SELECT day, model_id, call_id, source, name AS variable, bool_or(collected) AS is_collected
    FROM asked
    GROUP BY day, model_id, call_id, source, variable
)
SELECT
    day,
    model_id,
    source,
    variable,
    count(*) AS asked,
    count(*) FILTER (is_collected) AS collected,
    count(*) FILTER (is_collected) / count(*) AS completion_rate
FROM by_call
GROUP BY day, model_id, source, variable
