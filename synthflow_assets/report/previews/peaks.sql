-- The most concurrent calls of each day.
SELECT day, 'concurrent calls' AS name, max(peak_concurrent_calls)::DOUBLE AS value
FROM workspace_load_hourly
WHERE day BETWEEN $first AND $last
GROUP BY day
ORDER BY day
