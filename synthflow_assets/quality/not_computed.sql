-- Find what is outdated on landed days, up to the latest day that is due. Metrics are outdated if they were not computed
-- from the latest load. Exports are outdated if they are absent or older than their table. The report is outdated if it is
-- older than a metric that it shows. It may be absent, because each run may be a pod with its own storage. Rows written
-- since the start of a run in progress are ignored, because that run will compute and export them.
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
