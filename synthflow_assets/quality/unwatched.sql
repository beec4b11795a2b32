-- Agents that fresh_per_model expects no more, because they were not fetched in the two weeks before. Where agents are set,
-- it is them that are expected, and whoever set them knows.
SELECT count(*)
FROM (
    SELECT model_id, max(day) AS latest
    FROM call_loads
    GROUP BY model_id
)
WHERE len($model_ids::VARCHAR[]) = 0 AND latest < $last_closed_day::DATE - 14
