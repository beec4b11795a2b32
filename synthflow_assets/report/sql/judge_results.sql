-- Verdicts of the judge by check.
SELECT
    (day - $first) * $agents + agent AS cell,
    judge_check AS value,
    passes,
    partials,
    fails,
    not_applicable,
    other_answers
FROM judge_results_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last
ORDER BY cell, value
