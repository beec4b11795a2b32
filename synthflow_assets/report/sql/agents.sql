-- Agents fetched by the last day, with their first fetched day; those with the most calls in the span come first.
SELECT
    model_id,
    any_value(name) AS name,
    min(day) AS first_day
FROM call_loads
LEFT JOIN agents USING (model_id)
LEFT JOIN call_duration_daily AS durations USING (day, model_id)
WHERE day <= $to_day
GROUP BY model_id
ORDER BY coalesce(sum(calls) FILTER (day >= $from_day), 0) DESC, model_id
