WITH loads AS (
    FROM call_loads
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
stored AS (
    SELECT day, model_id, count(*) AS calls
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN loads.day IS NULL THEN format('{} calls are stored, but call_loads has no row of them', calls)
        WHEN fetched < total_records
            THEN format('{} calls were fetched, the API states {}', fetched, total_records)
        WHEN landed + rejected + outside_window + other_model <> fetched
            THEN format(
                '{} calls were fetched, but {} landed, {} were rejected, {} are in the margin and {} are another agent''s',
                fetched, landed, rejected, outside_window, other_model
            )
        ELSE format('{} calls landed, but {} are stored', landed, coalesce(calls, 0))
    END AS problem
FROM loads
FULL JOIN stored USING (day, model_id)
WHERE
    loads.day IS NULL
    OR fetched < total_records
    OR landed + rejected + outside_window + other_model <> fetched
    OR landed <> coalesce(calls, 0)
ORDER BY ALL
