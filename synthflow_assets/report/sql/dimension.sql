-- Calls by the values of a dimension, such as the end reason.
SELECT
    (day - $first) * $agents + agent AS cell,
    value,
    calls
FROM call_outcomes_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last AND dimension = $dimension
ORDER BY cell, calls DESC, value
