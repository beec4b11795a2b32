-- If all days are checked, those that the daily schedule fetches again are ignored, because they may be unsettled. So are
-- days with calls that may still end. Agents that cannot be fetched any more are ignored too.
SELECT
    day,
    model_id,
    CASE
        WHEN open_calls > 0 THEN format('{} calls were still going on when it was fetched', open_calls)
        ELSE 'it was fetched before it was over'
    END AS problem
FROM call_loads
WHERE
    settled IS NOT TRUE
    AND model_id NOT IN (SELECT model_id FROM agents WHERE loaded_at < (SELECT max(loaded_at) FROM agents))
    AND (len($model_ids::VARCHAR[]) = 0 OR list_contains($model_ids::VARCHAR[], model_id))
    AND CASE
        WHEN $days IS NULL THEN day <= $last_due_day::DATE - $settling_days::INTEGER
        ELSE list_contains($days::DATE[], day)
    END
ORDER BY ALL
