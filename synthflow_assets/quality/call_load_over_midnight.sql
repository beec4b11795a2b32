-- In the first hour of a day, some calls in progress did not start in that hour. They must be as many as the calls of the
-- day before that run past midnight. The day after a fetched day is checked too, because its hours may lack these calls.
WITH first_hours AS (
    SELECT
        day,
        model_id,
        min(hour_start) AS midnight,
        min_by(calls_in_progress - calls_started, hour_start) AS counted
    FROM call_load_hourly
    WHERE $days IS NULL OR list_has_any($days::DATE[], [day, day - 1])
    GROUP BY day, model_id
)
SELECT
    first_hours.day,
    first_hours.model_id,
    format('{} calls of the day before run past midnight, {} are counted', count(call_id), counted) AS problem
FROM first_hours
LEFT JOIN calls
    ON
        calls.day = first_hours.day - 1
        AND calls.model_id = first_hours.model_id
        AND calls.start_time + to_seconds(calls.duration_seconds) > midnight
GROUP BY first_hours.day, first_hours.model_id, counted
HAVING count(call_id) <> counted
ORDER BY ALL
