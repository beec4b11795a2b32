-- Transfers by result and reason, such as `failed timeout: destination_unavailable`.
SELECT
    (day - $first) * $agents + agent AS cell,
    replace(regexp_replace(outcome, '^transfer-', ''), '-', ' ')
    || CASE WHEN failed_reason = 'not_reported' THEN '' ELSE ': ' || failed_reason END AS value,
    sum(transfers)::BIGINT AS calls
FROM transfers_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last
GROUP BY 1, 2
ORDER BY cell, calls DESC, value
