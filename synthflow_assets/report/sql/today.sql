-- The day after the span, if it was not over when it was fetched, and the same weekday of the eight weeks before. For each
-- agent: the calls that started in the local hours before $hour, those that reached a person, and both numbers for all
-- hours.
WITH whole_days AS (
    SELECT day
    FROM call_loads
    GROUP BY day
    HAVING count(fetched_until) = 0
)
SELECT
    day,
    agent,
    coalesce(sum(calls_started) FILTER (local_hour < $hour), 0)::BIGINT AS calls,
    coalesce(sum(person_reached_calls) FILTER (local_hour < $hour), 0)::BIGINT AS reached,
    sum(calls_started)::BIGINT AS calls_of_all_hours,
    sum(person_reached_calls)::BIGINT AS reached_of_all_hours
FROM call_load_hourly
JOIN agent_numbers USING (model_id)
WHERE
    day = $today
    OR (day IN (FROM whole_days) AND day BETWEEN $today - 56 AND $today - 7 AND dayofweek(day) = dayofweek($today))
GROUP BY day, agent
ORDER BY day, agent
