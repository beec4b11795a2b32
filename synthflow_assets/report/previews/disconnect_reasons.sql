-- Calls by reason.
SELECT day, replace(disconnect_reason, '_', ' ') AS name, sum(calls)::DOUBLE AS value
FROM disconnect_reasons_daily
WHERE day BETWEEN $first AND $last
GROUP BY day, disconnect_reason
ORDER BY day, name
