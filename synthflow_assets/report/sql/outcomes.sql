-- Calls by outcome.
SELECT
    (day - $first) * $agents + agent AS cell,
    value,
    calls
FROM call_outcomes_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last AND dimension = 'outcome'
ORDER BY cell, calls DESC, value
