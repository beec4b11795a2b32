-- caller_summary_by without groups: one row, even if there are no calls. Without calls, there are 0 callers.
SELECT
    coalesce(calls, 0) AS calls,
    coalesce(identified_calls, 0) AS identified_calls,
    CASE WHEN calls IS NULL THEN 0 ELSE callers END AS callers,
    CASE WHEN calls IS NULL THEN 0 ELSE reached_callers END AS reached_callers,
    CASE WHEN calls IS NULL THEN 0 ELSE new_callers END AS new_callers,
    CASE WHEN calls IS NULL THEN 0 ELSE repeat_callers_24h END AS repeat_callers_24h,
    CASE WHEN calls IS NULL THEN 0 ELSE repeat_callers_7d END AS repeat_callers_7d,
    calls_per_caller
FROM (SELECT 1)
LEFT JOIN {schema}.caller_summary_by(from_day, to_day, true, condition := condition) ON true
