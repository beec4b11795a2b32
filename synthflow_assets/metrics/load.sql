-- What goes on in each hour on each `line`: an agent, or all of them. Of `hours` and `spans` (day, line, from_ms, to_ms).
WITH quarters AS (
    SELECT hour_ms, next_hour_ms, unnest(range(hour_ms // 900000, next_hour_ms // 900000)) AS quarter
    FROM hours
),
-- The parts of calls that lie in single hours. Most calls have one part, and need no comparison with every hour.
-- A call counts on the day of its start and the day after, so that a day is the same whatever is computed with it.
parts AS (
    SELECT line, hour_ms, from_ms, least(to_ms, next_hour_ms) AS to_ms, true AS starts
    FROM spans
    JOIN quarters ON from_ms // 900000 = quarter
    UNION ALL
    SELECT line, hour_ms, hour_ms, least(to_ms, next_hour_ms), false
    FROM (FROM spans WHERE from_ms // 900000 < to_ms // 900000) AS spans
    JOIN hours ON hour_ms > from_ms AND hour_ms < to_ms AND hours.day <= spans.day + 1
),
counted AS (
    SELECT
        line,
        hour_ms,
        count(*) FILTER (starts) AS calls_started,
        count(*) AS calls_in_progress,
        sum(to_ms - from_ms)::BIGINT / 60000 AS agent_minutes
    FROM parts
    GROUP BY line, hour_ms
),
-- The peak, without sorting every start and end: slots of five seconds tell within narrow bounds how many calls there
-- were, and only the few that may hold the peak of their hour are looked at event by event.
slots AS (
    SELECT line, hour_ms, slot, sum(starts) AS starts, sum(ends) AS ends
    FROM (
        SELECT line, hour_ms, from_ms // 5000 AS slot, count(*) AS starts, 0 AS ends
        FROM parts
        WHERE to_ms > from_ms
        GROUP BY ALL
        UNION ALL
        SELECT line, hour_ms, to_ms // 5000, 0, count(*)
        FROM parts
        WHERE to_ms > from_ms
        GROUP BY ALL
    )
    GROUP BY line, hour_ms, slot
),
bounded AS (
    SELECT
        line,
        hour_ms,
        slot,
        sum(starts - ends) OVER (PARTITION BY line, hour_ms ORDER BY slot ROWS UNBOUNDED PRECEDING) AS at_end,
        at_end + ends AS at_most
    FROM slots
),
least_peaks AS (
    SELECT line, hour_ms, max(at_end) AS at_least
    FROM bounded
    GROUP BY line, hour_ms
),
candidates AS (
    SELECT line, hour_ms, slot, at_end
    FROM bounded
    JOIN least_peaks USING (line, hour_ms)
    WHERE at_most > at_least
),
events AS (
    SELECT line, hour_ms, slot, at_end, from_ms AS at_ms, 1 AS change
    FROM parts
    JOIN candidates USING (line, hour_ms)
    WHERE from_ms // 5000 = slot AND to_ms > from_ms
    UNION ALL
    SELECT line, hour_ms, slot, at_end, to_ms, -1
    FROM parts
    JOIN candidates USING (line, hour_ms)
    WHERE to_ms // 5000 = slot AND to_ms > from_ms
),
-- Backwards from the end of the slot. At the same moment ends come before starts: a call that begins as another ends is
-- not concurrent with it.
exact AS (
    SELECT
        line,
        hour_ms,
        at_end - coalesce(
            sum(change) OVER (
                PARTITION BY line, hour_ms, slot
                ORDER BY at_ms DESC, change DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            0
        ) AS calls
    FROM events
),
peaks AS (
    SELECT line, hour_ms, max(calls) AS peak_concurrent_calls
    FROM (SELECT line, hour_ms, at_least AS calls FROM least_peaks UNION ALL SELECT line, hour_ms, calls FROM exact)
    GROUP BY line, hour_ms
)
SELECT *
FROM counted
LEFT JOIN peaks USING (line, hour_ms)
