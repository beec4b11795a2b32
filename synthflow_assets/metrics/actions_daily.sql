-- Actions that ran in calls, by type.
WITH executed AS (
    SELECT day, model_id, call_id, unnest(actions, max_depth := 2)
    FROM calls
    WHERE list_contains($days::DATE[], day)
)
SELECT
    day,
    model_id,
    coalesce(nullif(action_type, ''), $not_reported) AS action_type,
    count(*) AS executed,
    count(*) FILTER (failed) AS failed,
    count(DISTINCT call_id) AS calls
FROM executed
-- By position: in GROUP BY, `action_type` would mean the column of `executed`.
GROUP BY 1, 2, 3
