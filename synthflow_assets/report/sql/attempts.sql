-- Leads and those reached, by the number of the attempt.
SELECT
    (day - $first) * $agents + agent AS cell,
    attempt::VARCHAR AS value,
    leads,
    reached
FROM attempts_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last
ORDER BY cell, attempt
