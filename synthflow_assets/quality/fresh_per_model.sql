-- Expected are the agents that are set. If none is set, those that were fetched in the two weeks before.
WITH expected AS (
    SELECT unnest($model_ids::VARCHAR[]) AS model_id
    UNION
    SELECT model_id
    FROM call_loads
    WHERE len($model_ids::VARCHAR[]) = 0 AND day BETWEEN $last_closed_day::DATE - 14 AND $last_closed_day::DATE
),
latest AS (
    SELECT model_id, max(day) AS day
    FROM call_loads
    WHERE day <= $last_closed_day::DATE
    GROUP BY model_id
)
SELECT
    $last_closed_day::DATE AS day,
    model_id,
    coalesce('the latest landed day is ' || latest.day::VARCHAR, 'nothing has ever landed') AS problem
FROM expected
LEFT JOIN latest USING (model_id)
WHERE latest.day IS DISTINCT FROM $last_closed_day::DATE
UNION ALL
SELECT $last_closed_day::DATE, NULL, 'nothing has landed in the two weeks before'
WHERE NOT EXISTS (FROM expected)
ORDER BY ALL
