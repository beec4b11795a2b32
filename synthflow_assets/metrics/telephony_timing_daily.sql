-- Ringing and talk time by the telephony layer's clock, and how far the duration is from it.
-- Everything is computed in whole milliseconds and divided at the end, so that nothing is rounded on the way.
WITH measured AS (
    SELECT
        day,
        model_id,
        telephony_ringing_duration_ms AS ringing_ms,
        CASE WHEN list_contains($connected_statuses::VARCHAR[], trim(call_status)) THEN telephony_duration_ms END AS talk_ms,
        1000 * duration_seconds - talk_ms AS difference_ms
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]))
),
counted AS (
    SELECT
        day,
        model_id,
        count(*) AS calls,
        count(ringing_ms) AS ringing_calls,
        avg(ringing_ms) AS ringing_mean,
        quantile_cont(ringing_ms, [0.5, 0.9, 0.95, 0.99]) AS ringing,
        max(ringing_ms) AS ringing_max,
        count(talk_ms) AS talk_calls,
        sum(talk_ms) AS talk_total,
        avg(talk_ms) AS talk_mean,
        quantile_cont(talk_ms, [0.5, 0.9, 0.95, 0.99]) AS talk,
        max(talk_ms) AS talk_max,
        count(difference_ms) AS compared_calls,
        avg(difference_ms) AS difference_mean,
        quantile_cont(difference_ms, [0.5, 0.9, 0.95, 0.99]) AS difference,
        min(difference_ms) AS difference_min,
        max(difference_ms) AS difference_max
    FROM measured
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    coalesce(calls, 0) AS calls,
    coalesce(ringing_calls, 0) AS ringing_calls,
    ringing_mean / 1000 AS mean_ringing_seconds,
    ringing[1] / 1000 AS median_ringing_seconds,
    ringing[2] / 1000 AS p90_ringing_seconds,
    ringing[3] / 1000 AS p95_ringing_seconds,
    ringing[4] / 1000 AS p99_ringing_seconds,
    ringing_max / 1000 AS max_ringing_seconds,
    coalesce(talk_calls, 0) AS talk_calls,
    coalesce(talk_total, 0) / 1000 AS total_talk_seconds,
    talk_mean / 1000 AS mean_talk_seconds,
    talk[1] / 1000 AS median_talk_seconds,
    talk[2] / 1000 AS p90_talk_seconds,
    talk[3] / 1000 AS p95_talk_seconds,
    talk[4] / 1000 AS p99_talk_seconds,
    talk_max / 1000 AS max_talk_seconds,
    coalesce(compared_calls, 0) AS compared_calls,
    difference_mean / 1000 AS mean_difference_seconds,
    difference[1] / 1000 AS median_difference_seconds,
    difference[2] / 1000 AS p90_difference_seconds,
    difference[3] / 1000 AS p95_difference_seconds,
    difference[4] / 1000 AS p99_difference_seconds,
    difference_min / 1000 AS min_difference_seconds,
    difference_max / 1000 AS max_difference_seconds
FROM (SELECT day, model_id FROM call_loads WHERE day IN (SELECT unnest($days::DATE[])))
LEFT JOIN counted USING (day, model_id)
