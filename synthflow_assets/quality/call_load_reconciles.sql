-- Minutes are compared day by day instead of hour by hour. The day after a fetched day is checked too, because calls may
-- run into it.
WITH bounds AS (
    SELECT unnest($bound_days::DATE[]) AS day, unnest($from_ms::BIGINT[]) AS from_ms, unnest($to_ms::BIGINT[]) AS to_ms
),
calls_in_scope AS (
    SELECT
        day,
        model_id,
        epoch_ms(start_time) AS start_ms,
        start_ms + 1000 * coalesce(duration_seconds, 0) AS end_ms,
        bounds.to_ms AS midnight_ms,
        next_day.to_ms AS next_midnight_ms
    FROM calls
    JOIN bounds USING (day)
    JOIN bounds AS next_day ON next_day.day = calls.day + 1
    WHERE $days IS NULL OR list_has_any($days::DATE[], [day - 1, day, day + 1])
),
expected AS (
    SELECT day, model_id, sum(spent_ms) / 60000 AS minutes, count(*) FILTER (runs_too_long) AS too_long
    FROM (
        SELECT
            day,
            model_id,
            least(end_ms, midnight_ms) - start_ms AS spent_ms,
            end_ms > next_midnight_ms AS runs_too_long
        FROM calls_in_scope
        UNION ALL
        SELECT day + 1, model_id, least(end_ms, next_midnight_ms) - midnight_ms, false
        FROM calls_in_scope
        WHERE end_ms > midnight_ms
    )
    GROUP BY day, model_id
),
computed AS (
    SELECT
        day,
        model_id,
        count(*) AS hours,
        -- A day that was not over when it was fetched has the hours until then.
        ceil((least(any_value(to_ms), any_value(epoch_ms(fetched_until))) - any_value(from_ms)) / 3600000) AS expected_hours,
        sum(agent_minutes) AS minutes,
        count(*) FILTER (peak_concurrent_calls > calls_in_progress OR calls_started > calls_in_progress) AS odd
    FROM call_load_hourly
    JOIN bounds USING (day)
    LEFT JOIN call_loads USING (day, model_id)
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
