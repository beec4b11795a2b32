WITH histogram AS (
    SELECT
        day,
        model_id,
        coalesce(
            sum(calls * duration_seconds) FILTER (list_contains($connected_statuses::VARCHAR[], call_status)), 0
        )::BIGINT AS seconds
    FROM call_duration_histogram
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    format('connected calls last {} s, in call_duration_daily {} s', seconds, total_duration_seconds) AS problem
FROM histogram
JOIN call_duration_daily USING (day, model_id)
WHERE seconds <> total_duration_seconds
ORDER BY ALL
