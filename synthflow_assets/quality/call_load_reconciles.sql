-- Minutes are compared day by day instead of hour by hour. The day after a fetched day is checked too, because calls may
-- run into it.
WITH calls_in_scope AS (
    SELECT
        day,
        model_id,
        epoch_ms(start_time) AS from_ms,
        from_ms + 1000 * coalesce(duration_seconds, 0) AS to_ms,
        epoch_ms((day + 1)::TIMESTAMP AT TIME ZONE $timezone) AS midnight_ms,
        epoch_ms((day + 2)::TIMESTAMP AT TIME ZONE $timezone) AS next_midnight_ms
    FROM calls
    WHERE $days IS NULL OR list_has_any($days::DATE[], [day - 1, day, day + 1])
),
expected AS (
    SELECT day, model_id, sum(spent_ms) / 60000 AS minutes, count(*) FILTER (runs_too_long) AS too_long
    FROM (
        SELECT
            day,
            model_id,
            least(to_ms, midnight_ms) - from_ms AS spent_ms,
            to_ms > next_midnight_ms AS runs_too_long
        FROM calls_in_scope
        UNION ALL
        SELECT day + 1, model_id, least(to_ms, next_midnight_ms) - midnight_ms, false
        FROM calls_in_scope
        WHERE to_ms > midnight_ms
    )
    GROUP BY day, model_id
),
computed AS (
    SELECT
        day,
        model_id,
        count(*) AS hours,
        ceil(
            epoch((day + 1)::TIMESTAMP AT TIME ZONE $timezone - day::TIMESTAMP AT TIME ZONE $timezone) / 3600
        ) AS expected_hours,
        sum(agent_minutes) AS minutes,
        count(*) FILTER (peak_concurrent_calls > calls_in_progress OR calls_started > calls_in_progress) AS odd
    FROM call_load_hourly
    WHERE $days IS NULL OR list_has_any($days::DATE[], [day - 1, day])
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN hours <> expected_hours THEN format('{} hours, expected {:.0f}', hours, expected_hours)
        WHEN too_long > 0 THEN format('{} calls run beyond the end of the day after, where they are not counted', too_long)
        WHEN odd > 0 THEN format('{} of {} hours have fewer calls in progress than started, or than their peak', odd, hours)
        ELSE format(
            '{:.2f} minutes in the hours, {:.2f} in the calls', computed.minutes, coalesce(expected.minutes, 0)
        )
    END AS problem
FROM computed
LEFT JOIN expected USING (day, model_id)
WHERE
    hours <> expected_hours
    OR too_long > 0
    OR odd > 0
    OR abs(computed.minutes - coalesce(expected.minutes, 0)) > 0.001
ORDER BY ALL
