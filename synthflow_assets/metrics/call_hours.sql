-- The parts of calls that lie in single hours, in epoch milliseconds: what both tables of load are computed from.
-- A call counts on the day of its start and the day after, so that a day is the same whatever is computed with it.
WITH spans AS (
    SELECT
        day,
        model_id,
        epoch_ms(start_time) AS from_ms,
        from_ms + 1000 * coalesce(duration_seconds, 0) AS to_ms
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]) UNION SELECT unnest($days::DATE[]) - 1)
)
SELECT
    hours.day,
    model_id,
    hour_ms,
    from_ms >= hour_ms AS starts,
    greatest(from_ms, hour_ms) AS from_ms,
    least(to_ms, next_hour_ms) AS to_ms
FROM spans
JOIN hours
    ON from_ms < next_hour_ms AND greatest(to_ms, from_ms + 1) > hour_ms AND hours.day IN (spans.day, spans.day + 1)
