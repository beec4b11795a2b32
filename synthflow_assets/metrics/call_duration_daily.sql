-- How many calls of each agent and day, and how long the connected ones lasted.
-- A day without calls has a row of zeros, because it was fetched; a day never fetched has none.
-- A connected call without a duration counts as connected, and takes no part in the statistics.
WITH counted AS (
    SELECT
        day,
        model_id,
        count(*) AS calls,
        count(*) FILTER (is_connected) AS connected_calls,
        count(*) FILTER (is_connected AND duration_seconds < $short_call_seconds::BIGINT) AS short_calls,
        coalesce(sum(duration_seconds) FILTER (is_connected), 0)::BIGINT AS total_duration_seconds,
        avg(duration_seconds) FILTER (is_connected) AS mean_duration_seconds,
        quantile_cont(duration_seconds, [0.5, 0.9, 0.95, 0.99]) FILTER (is_connected) AS quantiles,
        max(duration_seconds) FILTER (is_connected) AS max_duration_seconds
    FROM (
        SELECT *, coalesce(list_contains($connected_statuses::VARCHAR[], trim(call_status)), false) AS is_connected
        FROM calls
        WHERE day IN (SELECT unnest($days::DATE[]))
    )
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    coalesce(calls, 0) AS calls,
    coalesce(connected_calls, 0) AS connected_calls,
    coalesce(short_calls, 0) AS short_calls,
    coalesce(total_duration_seconds, 0) AS total_duration_seconds,
    mean_duration_seconds,
    quantiles[1] AS median_duration_seconds,
    quantiles[2] AS p90_duration_seconds,
    quantiles[3] AS p95_duration_seconds,
    quantiles[4] AS p99_duration_seconds,
    max_duration_seconds
FROM (SELECT day, model_id FROM call_loads WHERE day IN (SELECT unnest($days::DATE[])))
LEFT JOIN counted USING (day, model_id)
