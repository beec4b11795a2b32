-- Connected calls by duration; ordered, because the page stores the differences between numbers of durations.
SELECT
    (day - $first) * $agents + agent AS cell,
    duration_seconds AS seconds,
    sum(calls)::BIGINT AS calls
FROM call_duration_histogram
JOIN agent_numbers USING (model_id)
WHERE
    day BETWEEN $first AND $last
    AND duration_seconds IS NOT NULL
    AND list_contains($connected_statuses::VARCHAR[], call_status)
GROUP BY cell, seconds
ORDER BY cell, seconds
