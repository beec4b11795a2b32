-- Part of the verdicts that were passes, check by check.
SELECT day, replace(judge_check, '_', ' ') AS name, sum(passes) / sum(passes + partials + fails) AS value
FROM judge_results_daily
WHERE day BETWEEN $first AND $last AND passes + partials + fails > 0
GROUP BY day, judge_check
ORDER BY day, name
