-- Of each landed day, up to the latest day that is due: metrics that were not computed from its latest load, exports that
-- are absent or older than their table, and the report if it is older than a metric that it shows. The report may be absent:
-- in a deployment where each run is a pod, it may lie in storage of its own. What was written since a run in progress
-- started is no problem yet: that run computes metrics after landing, and writes exports and report after metrics.
WITH uncomputed AS (
    {uncomputed_metrics}
),
outdated AS (
    SELECT exports.day, table_name AS name
    FROM (
        {outdated_exports}
    ) AS exports
    ANTI JOIN uncomputed ON exports.day = uncomputed.day AND table_name = metric
    WHERE $has_exports AND coalesce(written_at < $in_progress_since::TIMESTAMPTZ, true)
),
latest AS (
    SELECT day, computed_at
    FROM metric_computations
    WHERE
        day BETWEEN $last_due_day::DATE - $report_days::INTEGER + 1 AND $last_due_day::DATE
        AND ($days IS NULL OR list_contains($days::DATE[], day))
    ORDER BY computed_at DESC, day DESC
    LIMIT 1
)
SELECT day, NULL AS model_id, problem
FROM (
    SELECT
        day,
        CASE
            WHEN count(*) = len($metrics) THEN 'landed, but no metric is computed from the latest load'
            ELSE 'not computed from the latest load: ' || string_agg(metric, ', ' ORDER BY metric)
        END AS problem
    FROM uncomputed
    WHERE coalesce(loaded_at < $in_progress_since::TIMESTAMPTZ, true)
    GROUP BY day
    UNION ALL
    SELECT
        day,
        CASE
            WHEN count(*) = len($metrics) + 1 THEN 'no export is as new as its table'
            ELSE 'not exported since the table was written: ' || string_agg(name, ', ' ORDER BY name)
        END AS problem
    FROM outdated
    GROUP BY day
    UNION ALL
    SELECT day, 'the report is older than the metrics' AS problem
    FROM latest
    WHERE $report_at::TIMESTAMPTZ < computed_at AND coalesce(computed_at < $in_progress_since::TIMESTAMPTZ, true)
)
WHERE
    day <= $last_due_day::DATE
    AND ($days IS NULL OR list_contains($days::DATE[], day))
ORDER BY problem, day
