-- Every day of every agent is expected: from the first day that is set, or else the first that landed, to the latest day
-- that is due. An agent that is not listed any more cannot be fetched, so it is not expected.
WITH landed AS (
    SELECT model_id, min(day) AS first_day, least(max(day), $last_due_day::DATE) AS last_day
    FROM call_loads
    WHERE len($model_ids::VARCHAR[]) = 0
    GROUP BY model_id
),
unlisted AS (
    SELECT model_id
    FROM agents
    WHERE loaded_at < (SELECT max(loaded_at) FROM agents)
),
present AS (
    SELECT unnest($model_ids::VARCHAR[]) AS model_id
    UNION
    SELECT model_id
    FROM agents
    WHERE len($model_ids::VARCHAR[]) = 0
),
spans AS (
    SELECT
        model_id,
        coalesce($start_date::DATE, (SELECT min(day) FROM call_loads)) AS first_day,
        $last_due_day::DATE AS last_day
    FROM present
    UNION ALL
    FROM landed
),
expected AS (
    SELECT DISTINCT model_id, unnest(generate_series(first_day, last_day, INTERVAL 1 DAY))::DATE AS day
    FROM spans
    ANTI JOIN unlisted USING (model_id)
)
SELECT day, model_id, problem
FROM (
    SELECT
        day,
        model_id,
        CASE
            WHEN call_loads.day IS NULL THEN 'never landed'
            ELSE 'landed only in part: it was not over when it was fetched'
        END AS problem
    FROM expected
    LEFT JOIN call_loads USING (day, model_id)
    WHERE call_loads.day IS NULL OR fetched_until IS NOT NULL
    UNION ALL
    -- If nothing has landed and no agent is known, each day since the start date is a gap.
    SELECT
        unnest(generate_series($start_date::DATE, $last_due_day::DATE, INTERVAL 1 DAY))::DATE AS day,
        NULL AS model_id,
        'nothing has landed' AS problem
    WHERE NOT EXISTS (FROM expected)
)
WHERE $days IS NULL OR list_contains($days::DATE[], day)
ORDER BY model_id, day
