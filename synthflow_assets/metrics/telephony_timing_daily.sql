-- Ringing and talk time, and the difference between duration and talk time.
-- Everything is computed in whole milliseconds and divided at the end, so that no rounding adds up.
WITH timed AS (
    SELECT
        *,
        telephony_ringing_duration_ms AS ringing_ms,
        CASE WHEN list_contains($connected_statuses::VARCHAR[], trim(call_status)) THEN telephony_duration_ms END AS talk_ms,
        1000 * duration_seconds - talk_ms AS difference_ms
    FROM calls
    WHERE list_contains($days::DATE[], day)
)
SELECT
    loads.day,
    loads.model_id,
    count(call_id) AS calls,
    count(ringing_ms) AS ringing_calls,
    avg(ringing_ms) / 1000 AS mean_ringing_seconds,
    quantile_cont(ringing_ms, 0.5) / 1000 AS median_ringing_seconds,
    quantile_cont(ringing_ms, 0.9) / 1000 AS p90_ringing_seconds,
    quantile_cont(ringing_ms, 0.95) / 1000 AS p95_ringing_seconds,
    quantile_cont(ringing_ms, 0.99) / 1000 AS p99_ringing_seconds,
    max(ringing_ms) / 1000 AS max_ringing_seconds,
    count(talk_ms) AS talk_calls,
    coalesce(sum(talk_ms), 0) / 1000 AS total_talk_seconds,
    avg(talk_ms) / 1000 AS mean_talk_seconds,
    quantile_cont(talk_ms, 0.5) / 1000 AS median_talk_seconds,
    quantile_cont(talk_ms, 0.9) / 1000 AS p90_talk_seconds,
    quantile_cont(talk_ms, 0.95) / 1000 AS p95_talk_seconds,
    quantile_cont(talk_ms, 0.99) / 1000 AS p99_talk_seconds,
    max(talk_ms) / 1000 AS max_talk_seconds,
    count(difference_ms) AS compared_calls,
    avg(difference_ms) / 1000 AS mean_difference_seconds,
    quantile_cont(difference_ms, 0.5) / 1000 AS median_difference_seconds,
    quantile_cont(difference_ms, 0.9) / 1000 AS p90_difference_seconds,
    quantile_cont(difference_ms, 0.95) / 1000 AS p95_difference_seconds,
    quantile_cont(difference_ms, 0.99) / 1000 AS p99_difference_seconds,
    min(difference_ms) / 1000 AS min_difference_seconds,
    max(difference_ms) / 1000 AS max_difference_seconds
FROM call_loads AS loads
LEFT JOIN timed USING (day, model_id)
WHERE list_contains($days::DATE[], loads.day)
GROUP BY loads.day, loads.model_id
