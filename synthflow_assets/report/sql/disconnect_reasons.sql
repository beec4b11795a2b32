-- Calls by disconnect reason.
SELECT
    (day - $first) * $agents + agent AS cell,
    disconnect_reason AS value,
    calls
FROM disconnect_reasons_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last
ORDER BY cell, calls DESC, value
