-- Calls in which each variable was to be collected, and in which it was.
SELECT
    (day - $first) * $agents + agent AS cell,
    coalesce(nullif(trim(variable), ''), '(no name)') || ' (' || source || ')' AS value,
    asked,
    collected
FROM collected_variables_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last
ORDER BY cell, value
