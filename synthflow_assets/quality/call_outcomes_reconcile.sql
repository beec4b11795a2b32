SELECT
    day,
    model_id,
    format(
        '{}: {} calls counted, {} landed; the shares add up to {}',
        dimension, coalesce(calls, 0), coalesce(landed, 0), round(coalesce(share, 0), 6)
    ) AS problem
FROM (
    SELECT day, model_id, dimension, sum(calls)::BIGINT AS calls, sum(share) AS share
    FROM call_outcomes_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id, dimension
)
FULL JOIN (
    SELECT day, model_id, landed, unnest($outcome_dimensions::VARCHAR[]) AS dimension
    FROM call_loads
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
) USING (day, model_id, dimension)
WHERE coalesce(calls, 0) <> coalesce(landed, 0) OR abs(share - 1) > 1e-9
ORDER BY ALL
