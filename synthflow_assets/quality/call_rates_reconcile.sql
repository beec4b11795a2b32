-- Held against what landed, against the outcomes, and against the short calls of call_duration_daily.
WITH outcomes AS (
    SELECT
        day,
        model_id,
        sum(calls) FILTER (list_contains($connected_statuses::VARCHAR[], value)) AS connected,
        sum(calls) FILTER (value = 'no-answer') AS no_answer,
        sum(calls) FILTER (value = 'busy') AS busy,
        sum(calls) FILTER (value = 'failed') AS failed,
        sum(calls) FILTER (list_contains($voicemail_statuses::VARCHAR[], value)) AS voicemail
    FROM call_outcomes_daily
    WHERE dimension = 'call_status'
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN rates.day IS NULL THEN 'landed, but not computed; materialize call_rates_daily'
        WHEN loads.day IS NULL THEN 'computed, but never landed'
        WHEN rates.calls <> landed THEN format('{} calls computed, {} landed', rates.calls, landed)
        ELSE 'the counts differ from those of call_outcomes_daily or call_duration_daily, or a rate is none'
    END AS problem
FROM (FROM call_rates_daily WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS rates
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
LEFT JOIN outcomes USING (day, model_id)
LEFT JOIN call_duration_daily AS durations USING (day, model_id)
WHERE
    rates.calls IS DISTINCT FROM landed
    OR durations.short_calls <> rates.short_calls
    OR durations.connected_calls <> rates.connected_calls
    OR (
        outcomes.day IS NOT NULL
        AND [rates.connected_calls, no_answer_calls, busy_calls, failed_calls, voicemail_calls]
        <> [coalesce(n, 0) FOR n IN [connected, no_answer, busy, failed, voicemail]]
    )
    OR NOT (
        connection_rate BETWEEN 0 AND 1
        AND no_answer_rate BETWEEN 0 AND 1
        AND busy_rate BETWEEN 0 AND 1
        AND failed_rate BETWEEN 0 AND 1
        AND voicemail_rate BETWEEN 0 AND 1
    )
    OR NOT short_call_rate BETWEEN 0 AND 1
ORDER BY ALL
