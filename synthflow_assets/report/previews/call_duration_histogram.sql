-- Median and 90th percentile over all agents, which only the histogram can tell: each duration as often as it occurred.
WITH durations AS (
    SELECT day, unnest(quantile_cont(duration_seconds, [0.5, 0.9])) AS value, unnest(['median', '90th percentile']) AS name
    FROM (
        SELECT day, duration_seconds, unnest(range(calls))
        FROM call_duration_histogram
        WHERE
            day BETWEEN $first AND $last
            AND call_status IN ('completed', 'hangup_on_voicemail', 'left_voicemail')
            AND duration_seconds IS NOT NULL
    )
    GROUP BY day
)
SELECT day, name, value
FROM durations
ORDER BY day, name
