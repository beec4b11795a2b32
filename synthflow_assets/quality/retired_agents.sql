-- Agents that fresh_per_model no longer expects, because they are not listed any more, or were not fetched in the two weeks
-- before. If agents are set, they are expected as long as they are listed.
SELECT count(*)
FROM (
    SELECT model_id, max(day) AS latest
    FROM call_loads
    GROUP BY model_id
)
WHERE
    CASE
        WHEN model_id IN (SELECT model_id FROM agents WHERE loaded_at < (SELECT max(loaded_at) FROM agents))
            THEN len($model_ids::VARCHAR[]) = 0 OR list_contains($model_ids::VARCHAR[], model_id)
        ELSE len($model_ids::VARCHAR[]) = 0 AND latest < $last_due_day::DATE - 14
    END
