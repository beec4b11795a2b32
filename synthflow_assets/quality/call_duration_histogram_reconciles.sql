-- Held against what landed, and against the totals that were computed without the histogram.
SELECT
    day,
    model_id,
    CASE
        WHEN histogram.day IS NULL THEN 'landed, but not computed'
        WHEN histogram.calls IS DISTINCT FROM landed
            THEN format('{} calls in the histogram, {} landed', histogram.calls, coalesce(landed, 0))
        ELSE format(
            'connected calls lasted {} s by the histogram, {} s by call_duration_daily', seconds, total_duration_seconds
        )
    END AS problem
FROM (
    SELECT
        day,
        model_id,
        sum(calls)::BIGINT AS calls,
        coalesce(
            sum(calls * duration_seconds) FILTER (list_contains($connected_statuses::VARCHAR[], call_status)), 0
        )::BIGINT AS seconds
    FROM call_duration_histogram
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
) AS histogram
FULL JOIN
    (SELECT day, model_id, landed FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
LEFT JOIN call_duration_daily USING (day, model_id)
WHERE coalesce(histogram.calls, 0) <> coalesce(landed, 0) OR seconds <> total_duration_seconds
ORDER BY ALL
