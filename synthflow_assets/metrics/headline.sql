SELECT
    coalesce(sum(calls), 0)::BIGINT AS calls,
    coalesce(sum(connected_calls), 0)::BIGINT AS connected_calls,
    coalesce(sum(total_duration_seconds), 0) / 60 AS minutes,
    -- Weighted: the mean of daily means would count a quiet day as much as a busy one.
    sum(mean_duration_seconds * connected_calls) / nullif(sum(connected_calls), 0) AS mean_seconds
FROM call_duration_daily
WHERE day BETWEEN $from_day AND $to_day
