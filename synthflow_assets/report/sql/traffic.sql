-- Calls started in each local hour, and those that reached a person. When the clock is set back, the repeated hour is counted as one.
SELECT
    (day - $first) * $agents + agent AS cell,
    local_hour AS hour,
    sum(calls_started)::BIGINT AS calls,
    sum(person_reached_calls)::BIGINT AS reached
FROM call_load_hourly
JOIN agent_numbers USING (model_id)
WHERE day BETWEEN $first AND $last AND calls_started > 0
GROUP BY cell, hour
