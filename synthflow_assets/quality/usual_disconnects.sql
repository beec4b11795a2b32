-- The share of each reason, compared with the four weeks before. Shifts within four standard errors are ignored. A larger
-- shift is a problem above 20 percentage points; a rise of errors or refusals is one above 5 points.
-- At least five calls are required, because on a quiet Sunday one refused call of three is chance. A day that was not over
-- when it was fetched is left out: reasons vary over the day.
-- Bad reasons that rose come first, then others that rose, then those that fell.
WITH judged AS (
    SELECT day, model_id, sum(calls) AS calls
    FROM disconnect_reasons_daily
    ANTI JOIN (FROM call_loads WHERE fetched_until IS NOT NULL) USING (day, model_id)
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY ALL
),
earlier AS (
    SELECT judged.day, judged.model_id, reasons.disconnect_reason, sum(reasons.calls) AS calls
    FROM judged
    INNER JOIN disconnect_reasons_daily AS reasons
        ON reasons.model_id = judged.model_id AND reasons.day BETWEEN judged.day - 28 AND judged.day - 1
    GROUP BY ALL
),
compared AS (
    SELECT
        day,
        model_id,
        disconnect_reason,
        disconnect_reason IN ('error', 'forbidden') AS is_bad,
        judged.calls AS calls,
        before.calls AS calls_before,
        coalesce(reasons.calls, 0) AS calls_by_reason,
        calls_by_reason / judged.calls AS share,
        -- Half a call is added, so that a reason without calls has a share above 0.
        (coalesce(earlier.calls, 0) + 0.5) / (before.calls + 1) AS usual
    FROM disconnect_reasons_daily AS reasons
    FULL JOIN earlier USING (day, model_id, disconnect_reason)
    INNER JOIN judged USING (day, model_id)
    INNER JOIN (SELECT day, model_id, sum(calls) AS calls FROM earlier GROUP BY ALL) AS before USING (day, model_id)
)
SELECT
    day,
    model_id,
    format(
        '{} {} from {:.0f} % of the calls in the four weeks before to {:.0f} % ({} of {})',
        -- Only plain words are shown: anything else may be personal data.
        CASE
            WHEN regexp_full_match(disconnect_reason, '[A-Za-z_-]{1,40}') THEN disconnect_reason
            ELSE 'something unreadable'
        END,
        CASE WHEN share > usual THEN 'rose' ELSE 'fell' END,
        100 * usual,
        100 * share,
        calls_by_reason,
        calls
    ) AS problem
FROM compared
WHERE
    calls_before >= 200
    AND abs(share - usual) > 4 * sqrt(usual * (1 - usual) * (1 / calls + 1 / calls_before))
    AND (
        (abs(share - usual) > 0.2 AND abs(calls_by_reason - usual * calls) >= 5)
        OR (is_bad AND share - usual > 0.05 AND calls_by_reason >= 5)
    )
ORDER BY share > usual AND is_bad DESC, share > usual DESC, day, model_id, abs(share - usual) DESC, disconnect_reason
