-- Three signs that the API changed a unit or a time. Each needs more than three calls of an agent and day.
-- `duration` counts ringing as well, so it may be several times the connection, but hardly a hundred times.
WITH measured AS (
    SELECT
        day,
        model_id,
        duration_seconds > 86400 AS is_long,
        list_contains($connected_statuses::VARCHAR[], call_status) AND telephony_duration_ms > 0 AS has_connection,
        has_connection AND duration_seconds * 10 > telephony_duration_ms AS is_mismatch
    FROM calls
    WHERE duration_seconds > 0 AND ($days IS NULL OR list_contains($days::DATE[], day))
),
counted AS (
    SELECT
        day,
        model_id,
        count(*) AS calls,
        count_if(is_long) AS long,
        count_if(has_connection) AS connections,
        count_if(is_mismatch) AS mismatches
    FROM measured
    GROUP BY day, model_id
),
listed AS (
    SELECT
        coalesce(listed_day, day) AS day,
        model_id,
        count(*) AS calls,
        count(listed_day) AS strays
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], coalesce(listed_day, day))
    GROUP BY ALL
)
SELECT day, model_id, format('{} of {} calls last longer than a day', long, calls) AS problem
FROM counted
WHERE long > 3 AND long * 2 > calls
UNION ALL
SELECT
    day,
    model_id,
    format('{} of {} calls last a hundred times as long as their connection', mismatches, connections) AS problem
FROM counted
WHERE mismatches > 3 AND mismatches * 2 > connections
UNION ALL
SELECT day, model_id, format('all {} calls that the API listed for this day start on another day', strays) AS problem
FROM listed
WHERE strays > 3 AND strays = calls
ORDER BY ALL
