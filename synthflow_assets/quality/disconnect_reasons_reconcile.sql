-- Held against what landed, and the means against the calls.
WITH metric AS (
    FROM disconnect_reasons_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
expected AS (
    SELECT
        day,
        model_id,
        coalesce(nullif(trim(telephony_disconnect_reason), ''), 'not_reported') AS disconnect_reason,
        avg(duration_seconds) AS mean
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY ALL
),
counted AS (
    SELECT
        day,
        model_id,
        sum(calls)::BIGINT AS calls,
        sum(share) AS share,
        min(format(
            'a mean_duration_seconds is {}, by the calls {}',
            coalesce(format('{:.12g}', round(mean_duration_seconds, 6)), 'nothing'), coalesce(format('{:.12g}', round(mean, 6)), 'nothing')
        )) FILTER (
            NOT coalesce(
                abs(mean_duration_seconds - mean) <= 1e-9 * greatest(1, mean), mean_duration_seconds IS NULL AND mean IS NULL
            )
        ) AS other_mean
    FROM metric
    LEFT JOIN expected USING (day, model_id, disconnect_reason)
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN counted.day IS NULL THEN format('0 calls have a reason, {} landed', landed)
        WHEN calls IS DISTINCT FROM landed OR abs(share - 1) > 1e-9
            THEN format('{} calls have a reason, {} landed; the shares add up to {}', calls, coalesce(landed, 0), round(share, 6))
        ELSE other_mean
    END AS problem
FROM counted
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
WHERE coalesce(calls, 0) <> coalesce(landed, -1) OR (calls > 0 AND abs(share - 1) > 1e-9) OR other_mean IS NOT NULL
ORDER BY ALL
