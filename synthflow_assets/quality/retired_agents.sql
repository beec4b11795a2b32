-- Agents that fresh_per_model no longer expects, because they were not fetched in the two weeks before. If agents are set,
-- exactly those are expected, so none is retired.
SELECT count(*)
FROM (
    SELECT model_id, max(day) AS latest
    FROM call_loads
    GROUP BY model_id
)
WHERE len($model_ids::VARCHAR[]) = 0 AND latest < $last_due_day::DATE - 14
