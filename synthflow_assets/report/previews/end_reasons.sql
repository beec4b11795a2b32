-- Calls by end reason.
SELECT day, replace(value, '_', ' ') AS name, sum(calls)::DOUBLE AS value
FROM call_outcomes_daily
WHERE day BETWEEN $first AND $last AND dimension = 'end_call_reason'
GROUP BY day, call_outcomes_daily.value
ORDER BY day, name
