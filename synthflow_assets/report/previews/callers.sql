-- Callers by agent, of the days on which they are known.
SELECT day, coalesce(agents.name, model_id) AS name, sum(callers)::DOUBLE AS value
FROM callers_daily
LEFT JOIN agents USING (model_id)
WHERE day BETWEEN $first AND $last AND callers IS NOT NULL
GROUP BY day, coalesce(agents.name, model_id)
ORDER BY day, name
