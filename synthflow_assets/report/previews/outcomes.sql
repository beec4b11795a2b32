-- Calls by outcome.
SELECT day, replace(value, '_', ' ') AS name, sum(calls)::DOUBLE AS value
FROM call_outcomes_daily
WHERE day BETWEEN $first AND $last AND dimension = 'outcome'
GROUP BY day, call_outcomes_daily.value
ORDER BY day, name
