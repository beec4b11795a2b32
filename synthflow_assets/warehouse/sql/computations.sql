-- The new rows of metric_computations: metrics that were computed now, and when their rows last changed.
SELECT day, metric, max(call_loads.loaded_at) AS calls_loaded_at, any_value(written_at) AS computed_at
FROM (
    SELECT day, metric, CASE WHEN NOT is_replaced AND computed_at IS NOT NULL THEN computed_at ELSE $now END AS written_at
    FROM (
        SELECT
            unnest($days::DATE[]) AS day,
            unnest($metrics::VARCHAR[]) AS metric,
            unnest($replaced::BOOLEAN[]) AS is_replaced
    )
    LEFT JOIN metric_computations USING (day, metric)
)
JOIN call_loads USING (day)
GROUP BY day, metric
