-- Mean duration of connected calls over all agents; a line for each would take too many bytes.
SELECT day, 'all agents' AS name, sum(total_duration_seconds) / sum(connected_calls) AS value
FROM call_duration_daily
WHERE day BETWEEN $first AND $last AND connected_calls > 0
GROUP BY day
ORDER BY day
