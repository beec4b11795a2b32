-- What goes on in each hour on each `line`: an agent, or all of them. Of `hours` and `spans` (day, line, from_ms, to_ms).
-- Slots of five seconds, in which starts and ends are counted, tell everything but the peak, and bound that from both
-- sides. Only the few slots that may hold the peak of their hour are looked at event by event.
WITH quarters AS (
    SELECT hour_ms, next_hour_ms, unnest(range(hour_ms // 900000, next_hour_ms // 900000)) AS quarter
    FROM hours
),
-- A call counts on the day of its start and the day after, so that a day is the same whatever is computed with it.
-- Where the day of its start is not computed, it began a moment before the day after.
reach AS (
    SELECT day, min(from_ms) AS earliest_ms, max(to_ms) AS latest_ms
    FROM (
        SELECT day, min(hour_ms) AS from_ms, max(next_hour_ms) AS to_ms FROM hours GROUP BY day
        UNION ALL
        SELECT day - 1, min(hour_ms) - 1, max(next_hour_ms) FROM hours GROUP BY day
    )
    GROUP BY day
),
cut AS (
    SELECT line, greatest(from_ms, earliest_ms) AS from_ms, least(to_ms, latest_ms) AS to_ms
    FROM spans
    JOIN reach USING (day)
    WHERE greatest(from_ms, to_ms) >= earliest_ms
),
-- A call that ends as a slot begins belongs to the slot before: it is not concurrent with one that begins then.
changes AS (
    SELECT
        line,
        from_ms // 5000 AS slot,
        count(*) AS started,
        count(*) FILTER (to_ms > from_ms) AS starts,
        0 AS ends,
        -sum(from_ms % 5000) FILTER (to_ms > from_ms) AS into_slots_ms
    FROM cut
    GROUP BY ALL
    UNION ALL
    SELECT line, (to_ms - 1) // 5000 AS slot, 0, 0, count(*), sum((to_ms - 1) % 5000 + 1)
    FROM cut
    WHERE to_ms > from_ms
    GROUP BY ALL
),
slots AS (
    SELECT
        line,
        slot,
        sum(started) AS started,
        sum(starts) AS starts,
        sum(ends) AS ends,
        coalesce(sum(into_slots_ms), 0) AS into_slots_ms
    FROM (
        FROM changes
        UNION ALL
        -- Each hour has its first slot.
        SELECT line, hour_ms // 5000, 0, 0, 0, 0 FROM hours CROSS JOIN (SELECT DISTINCT line FROM changes)
    )
    GROUP BY line, slot
),
counted AS (
    SELECT
        *,
        sum(starts - ends) OVER (PARTITION BY line ORDER BY slot ROWS UNBOUNDED PRECEDING) AS at_end,
        at_end - starts + ends AS at_begin
    FROM slots
),
bounded AS (
    SELECT
        line,
        hour_ms,
        min_by(at_begin, slot) AS carried,
        sum(started) AS started,
        carried * (next_hour_ms - hour_ms) + sum((starts - ends) * (next_hour_ms - 5000 * slot) + into_slots_ms) AS busy_ms,
        greatest(carried, max(at_end)) AS at_least
    FROM counted
    JOIN quarters ON slot // 180 = quarter
    GROUP BY line, hour_ms, next_hour_ms
),
candidates AS (
    SELECT line, hour_ms, slot, at_end
    FROM counted
    JOIN quarters ON slot // 180 = quarter
    JOIN bounded USING (line, hour_ms)
    WHERE at_begin + starts > at_least
),
events AS (
    SELECT line, hour_ms, slot, at_end, from_ms AS at_ms, 1 AS change
    FROM cut
    JOIN candidates USING (line)
    WHERE from_ms // 5000 = slot AND to_ms > from_ms
    UNION ALL
    SELECT line, hour_ms, slot, at_end, to_ms, -1
    FROM cut
    JOIN candidates USING (line)
    WHERE (to_ms - 1) // 5000 = slot AND to_ms > from_ms
),
-- Backwards from the end of the slot. At the same moment ends come before starts: a call that begins as another ends is
-- not concurrent with it.
exact AS (
    SELECT
        line,
        hour_ms,
        at_end - coalesce(
            sum(change) OVER (
                PARTITION BY line, slot
                ORDER BY at_ms DESC, change DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            0
        ) AS calls
    FROM events
),
peaks AS (
    SELECT line, hour_ms, max(calls) AS peak
    FROM exact
    GROUP BY line, hour_ms
)
SELECT
    line,
    hour_ms,
    started::BIGINT AS calls_started,
    (started + carried)::BIGINT AS calls_in_progress,
    busy_ms::BIGINT / 60000 AS agent_minutes,
    greatest(at_least, peak)::BIGINT AS peak_concurrent_calls
FROM bounded
LEFT JOIN peaks USING (line, hour_ms)
