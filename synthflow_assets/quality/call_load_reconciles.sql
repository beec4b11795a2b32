-- Held against the calls themselves, day by day instead of hour by hour. Where a day was landed anew, the day after is
-- looked at as well, if it is there: calls may run into it.
WITH parts AS (
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
    SELECT day, model_id, sum(lasted_ms) / 60000 AS minutes, sum(beyond) AS beyond
    FROM (
        SELECT day, model_id, least(to_ms, midnight_ms) - from_ms AS lasted_ms, to_ms > next_midnight_ms AS beyond
        FROM parts
        UNION ALL
        SELECT day + 1, model_id, least(to_ms, next_midnight_ms) - midnight_ms, false
        FROM parts
        WHERE to_ms > midnight_ms
    )
    GROUP BY day, model_id
),
load AS (
    SELECT
        day,
        model_id,
        count(*) AS hours,
        sum(calls_started) AS started,
        sum(agent_minutes) AS minutes,
        count(*) FILTER (calls_started > calls_in_progress OR peak_concurrent_calls > calls_in_progress) AS unsound
    FROM call_load_hourly
    WHERE $days IS NULL OR list_has_any($days::DATE[], [day - 1, day])
    GROUP BY day, model_id
),
loads AS (
    SELECT
        day,
        model_id,
        landed,
        ceil(epoch((day + 1)::TIMESTAMP AT TIME ZONE $timezone - day::TIMESTAMP AT TIME ZONE $timezone) / 3600) AS hours
    FROM call_loads
    WHERE
        $days IS NULL
        OR list_contains($days::DATE[], day)
        OR (list_contains($days::DATE[], day - 1) AND day IN (SELECT day FROM load))
)
SELECT
    day,
    model_id,
    CASE
        WHEN load.day IS NULL THEN 'landed, but not computed'
        WHEN loads.day IS NULL THEN 'computed, but never landed'
        WHEN started <> landed THEN format('{} calls started, {} landed', started, landed)
        WHEN load.hours <> loads.hours THEN format('{} hours, but the day has {:.0f}', load.hours, loads.hours)
        WHEN beyond > 0 THEN format('{} calls run beyond the day after, where they are never counted', beyond)
        WHEN unsound > 0 THEN format('{} of {} hours have fewer calls in progress than started, or than their peak', unsound, load.hours)
        ELSE format(
            '{:.2f} minutes in the hours, {:.2f} in the calls',
            load.minutes, coalesce(expected.minutes, 0)
        )
    END AS problem
FROM load
FULL JOIN loads USING (day, model_id)
LEFT JOIN expected USING (day, model_id)
WHERE
    load.day IS NULL
    OR loads.day IS NULL
    OR started <> landed
    OR load.hours <> loads.hours
    OR beyond > 0
    OR unsound > 0
    OR abs(load.minutes - coalesce(expected.minutes, 0)) > 0.001
ORDER BY ALL
