-- Estimated cost by agent, of the days with a price.
SELECT day, coalesce(agents.name, model_id) AS name, sum(estimated_cost) AS value
FROM call_costs_daily
LEFT JOIN agents USING (model_id)
WHERE day BETWEEN $first AND $last AND estimated_cost IS NOT NULL
GROUP BY day, coalesce(agents.name, model_id)
ORDER BY day, name
