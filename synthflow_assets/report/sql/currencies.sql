-- The currencies of the estimated costs, each with the highest cost of a day and agent.
SELECT currency, max(estimated_cost) AS highest
FROM call_costs_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last AND estimated_cost IS NOT NULL
GROUP BY currency
