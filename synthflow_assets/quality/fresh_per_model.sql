-- Before the first partition is due, nothing is expected. After that, the agents that are set are expected. If none is
-- set, the agents that were fetched in the two weeks before are expected. An agent that is not listed any more is not
-- expected.
WITH expected AS (
    SELECT model_id
    FROM (
        SELECT unnest($model_ids::VARCHAR[]) AS model_id
        UNION
        SELECT model_id
        FROM call_loads
        WHERE len($model_ids::VARCHAR[]) = 0 AND day BETWEEN $last_due_day::DATE - 14 AND $last_due_day::DATE
    )
    WHERE model_id NOT IN (SELECT model_id FROM agents WHERE loaded_at < (SELECT max(loaded_at) FROM agents))
),
latest AS (
    SELECT model_id, max(day) AS day
    FROM call_loads
    WHERE day <= $last_due_day::DATE AND fetched_until IS NULL  -- otherwise, only the hours until then have landed
    GROUP BY model_id
)
SELECT
    $last_due_day::DATE AS day,
    model_id,
    coalesce('the latest landed day is ' || latest.day::VARCHAR, 'nothing has ever landed') AS problem
FROM expected
LEFT JOIN latest USING (model_id)
WHERE latest.day IS DISTINCT FROM $last_due_day::DATE AND coalesce($start_date::DATE <= $last_due_day::DATE, true)
UNION ALL
SELECT $last_due_day::DATE, NULL, 'nothing has landed in the two weeks before'
WHERE NOT EXISTS (FROM expected) AND coalesce($start_date::DATE <= $last_due_day::DATE, true)
ORDER BY ALL
