-- Median and 90th percentile in minutes over all agents, interpolated between the two closest ranks.
WITH counted AS (
    SELECT day, duration_seconds, sum(calls) AS calls
    FROM call_duration_histogram
    WHERE
        day BETWEEN $first AND $last
        AND list_contains($connected_statuses::VARCHAR[], call_status)
        AND duration_seconds IS NOT NULL
    GROUP BY day, duration_seconds
),
ranked AS (
    SELECT
        *,
        sum(calls) OVER (PARTITION BY day ORDER BY duration_seconds) AS ranks,
        sum(calls) OVER (PARTITION BY day) - 1 AS last_rank
    FROM counted
),
quantiles AS (
    SELECT
        day,
        name,
        min(duration_seconds) FILTER (ranks > floor(share * last_rank)) AS lower,
        min(duration_seconds) FILTER (ranks > ceil(share * last_rank)) AS upper,
        any_value(share * last_rank - floor(share * last_rank)) AS fraction
    FROM ranked
    CROSS JOIN (VALUES ('median', 0.5::DOUBLE), ('90th percentile', 0.9::DOUBLE)) AS shares (name, share)
    GROUP BY day, name
)
SELECT day, name, (lower + (upper - lower) * fraction) / 60 AS value
FROM quantiles
ORDER BY day, name
