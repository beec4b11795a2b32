SELECT
    day,
    model_id,
    format(
        '{} calls have a reason, {} landed; the shares add up to {}',
        coalesce(calls, 0), coalesce(landed, 0), coalesce(share, 0)
    ) AS problem
FROM (
    SELECT day, model_id, sum(calls)::BIGINT AS calls, sum(share) AS share
    FROM disconnect_reasons_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
)
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
WHERE coalesce(calls, 0) <> coalesce(landed, -1) OR (calls > 0 AND abs(share - 1) > 1e-9)
ORDER BY ALL
