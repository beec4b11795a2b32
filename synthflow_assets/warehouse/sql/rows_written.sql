-- When the rows of each exported table last changed, by day. Calls are stored with the time of their load.
SELECT metric AS table_name, day, computed_at AS written_at
FROM metric_computations
UNION ALL
SELECT 'calls' AS table_name, day, max(loaded_at) AS written_at
FROM call_loads
GROUP BY day
