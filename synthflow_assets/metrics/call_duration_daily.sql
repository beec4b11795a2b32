-- Number and duration of calls. A landed day without calls has a row of zeros.
-- A connected call without a duration counts as connected, and aggregates skip its NULL.
WITH connected AS (
    SELECT *, coalesce(list_contains($connected_statuses::VARCHAR[], trim(call_status)), false) AS is_connected
    FROM calls
    WHERE list_contains($days::DATE[], day)
)
SELECT
    loads.day,
    loads.model_id,
    count(call_id) AS calls,
    count(*) FILTER (is_connected) AS connected_calls,
    count(*) FILTER (is_connected AND duration_seconds < $short_call_seconds::BIGINT) AS short_calls,
    coalesce(sum(duration_seconds) FILTER (is_connected), 0)::BIGINT AS total_duration_seconds,
    avg(duration_seconds) FILTER (is_connected) AS mean_duration_seconds,
    quantile_cont(duration_seconds, 0.5) FILTER (is_connected) AS median_duration_seconds,
    quantile_cont(duration_seconds, 0.9) FILTER (is_connected) AS p90_duration_seconds,
    quantile_cont(duration_seconds, 0.95) FILTER (is_connected) AS p95_duration_seconds,
    quantile_cont(duration_seconds, 0.99) FILTER (is_connected) AS p99_duration_seconds,
    max(duration_seconds) FILTER (is_connected) AS max_duration_seconds
FROM call_loads AS loads
LEFT JOIN connected USING (day, model_id)
WHERE list_contains($days::DATE[], loads.day)
GROUP BY loads.day, loads.model_id
