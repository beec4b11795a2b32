-- Calls by the version of the agent, without those whose version is not reported.
SELECT
    (day - $first) * $agents + agent AS cell,
    value,
    calls,
    person_reached_calls AS reached,
    goal_judged_calls AS judged,
    goal_passes AS passes
FROM call_segments_daily
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last AND segment = 'assistant_version' AND value <> $not_reported
ORDER BY cell, value
