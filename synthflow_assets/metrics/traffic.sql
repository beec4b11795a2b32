-- How busy each series was in each hour of its days, by an event sweep. A series is one agent, or all agents together.
-- The query around it defines `series` (day, series, until_ms) and `spans` (day, series, from_ms, to_ms, is_connected,
-- is_person_reached), one row a call. A day that was not over when it was fetched has hours up to `until_ms`, which is NULL
-- for other days.
WITH hours AS (
    SELECT
        unnest($hour_days::DATE[]) AS day,
        unnest($hours_ms::BIGINT[]) AS hour_ms,
        unnest($next_hours_ms::BIGINT[]) AS next_hour_ms,
        unnest($local_hours::INTEGER[]) AS local_hour
),
-- A day counts its own calls, and those of the day before that run past midnight. It looks back no further, so that a
-- day depends on the calls of two days only.
counted AS (
    FROM spans
    UNION ALL
    SELECT * REPLACE (day + 1 AS day) FROM spans
),
-- The part of each call that lies in each hour. A call of 0 seconds lies in the hour of its start.
parts AS (
    SELECT
        day,
        series,
        hour_ms,
        from_ms >= hour_ms AS starts_here,
        greatest(from_ms, hour_ms) AS from_ms,
        least(to_ms, next_hour_ms) AS to_ms,
        is_connected,
        is_person_reached
    FROM counted
    JOIN hours USING (day)
    WHERE from_ms < next_hour_ms AND (to_ms > hour_ms OR from_ms >= hour_ms)
),
totals AS (
    SELECT
        day,
        series,
        hour_ms,
        count(*) FILTER (starts_here) AS calls_started,
        count(*) FILTER (starts_here AND is_connected) AS connected_calls,
        count(*) FILTER (starts_here AND is_person_reached) AS person_reached_calls,
        count(*) AS calls_in_progress,
        sum(to_ms - from_ms)::BIGINT / 60000 AS agent_minutes
    FROM parts
    GROUP BY day, series, hour_ms
),
-- Ends come before starts at the same moment: a call that starts as another ends is not concurrent with it.
events AS (
    SELECT day, series, hour_ms, from_ms AS at_ms, 1 AS change FROM parts
    UNION ALL
    SELECT day, series, hour_ms, to_ms, -1 FROM parts
),
concurrent AS (
    SELECT
        day,
        series,
        hour_ms,
        sum(change) OVER (PARTITION BY day, series, hour_ms ORDER BY at_ms, change ROWS UNBOUNDED PRECEDING) AS calls
    FROM events
),
peaks AS (
    SELECT day, series, hour_ms, max(calls)::BIGINT AS peak_concurrent_calls
    FROM concurrent
    GROUP BY day, series, hour_ms
)
SELECT
    day,
    series,
    make_timestamptz(hour_ms * 1000) AS hour_start,
    local_hour,
    coalesce(calls_started, 0) AS calls_started,
    coalesce(connected_calls, 0) AS connected_calls,
    coalesce(person_reached_calls, 0) AS person_reached_calls,
    coalesce(calls_in_progress, 0) AS calls_in_progress,
    coalesce(agent_minutes, 0) AS agent_minutes,
    coalesce(peak_concurrent_calls, 0) AS peak_concurrent_calls
FROM series
JOIN hours USING (day)
LEFT JOIN totals USING (day, series, hour_ms)
LEFT JOIN peaks USING (day, series, hour_ms)
WHERE hour_ms < until_ms IS NOT FALSE
