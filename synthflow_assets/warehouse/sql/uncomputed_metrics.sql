-- The metric tables of landed days that were not computed from the latest load of the day.
SELECT day, metric, loaded_at
FROM (SELECT day, max(loaded_at) AS loaded_at FROM call_loads GROUP BY day)
CROSS JOIN (SELECT unnest($metrics::VARCHAR[]) AS metric)
LEFT JOIN metric_computations USING (day, metric)
WHERE calls_loaded_at IS DISTINCT FROM loaded_at
