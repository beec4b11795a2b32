-- duration_summary_by without groups: one row, even if there are no calls.
SELECT
    coalesce(calls, 0) AS calls,
    coalesce(connected_calls, 0) AS connected_calls,
    coalesce(total_duration_seconds, 0) AS total_duration_seconds,
    mean_duration_seconds,
    median_duration_seconds,
    p90_duration_seconds,
    p95_duration_seconds,
    p99_duration_seconds,
    max_duration_seconds
FROM (SELECT 1)
LEFT JOIN {schema}.duration_summary_by(from_day, to_day, true, condition := condition) ON true
