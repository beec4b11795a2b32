-- Calls by agent.
SELECT day, coalesce(agents.name, model_id) AS name, sum(calls)::DOUBLE AS value
FROM call_duration_daily
LEFT JOIN agents USING (model_id)
WHERE day BETWEEN $first AND $last
GROUP BY day, coalesce(agents.name, model_id)
ORDER BY day, name
