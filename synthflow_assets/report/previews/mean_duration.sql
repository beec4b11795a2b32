-- The mean duration of connected calls in minutes, over all agents.
SELECT day, 'all agents' AS name, sum(total_duration_seconds) / sum(connected_calls) / 60 AS value
FROM call_duration_daily
WHERE day BETWEEN $first AND $last AND connected_calls > 0
GROUP BY day
ORDER BY day
