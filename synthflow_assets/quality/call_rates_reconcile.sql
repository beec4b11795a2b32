-- Held against what landed, against the outcomes, and against call_duration_daily; the rates against their own counts.
WITH rates AS (
    FROM call_rates_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
outcomes AS (
    SELECT
        day,
        model_id,
        coalesce(sum(calls) FILTER (list_contains($connected_statuses::VARCHAR[], value)), 0) AS connected_calls,
        coalesce(sum(calls) FILTER (value = 'no-answer'), 0) AS no_answer_calls,
        coalesce(sum(calls) FILTER (value = 'busy'), 0) AS busy_calls,
        coalesce(sum(calls) FILTER (value = 'failed'), 0) AS failed_calls,
        coalesce(sum(calls) FILTER (list_contains($voicemail_statuses::VARCHAR[], value)), 0) AS voicemail_calls
    FROM call_outcomes_daily
    WHERE dimension = 'call_status'
    GROUP BY day, model_id
),
-- What is not computed says nothing, so its own number stands for it.
others AS (
    SELECT
        day,
        model_id,
        coalesce(outcomes.connected_calls, durations.connected_calls, rates.connected_calls) AS connected_calls,
        coalesce(outcomes.no_answer_calls, rates.no_answer_calls) AS no_answer_calls,
        coalesce(outcomes.busy_calls, rates.busy_calls) AS busy_calls,
        coalesce(outcomes.failed_calls, rates.failed_calls) AS failed_calls,
        coalesce(outcomes.voicemail_calls, rates.voicemail_calls) AS voicemail_calls,
        coalesce(durations.short_calls, rates.short_calls) AS short_calls,
        rates.connected_calls / nullif(rates.calls, 0) AS connection_rate,
        rates.no_answer_calls / nullif(rates.calls, 0) AS no_answer_rate,
        rates.busy_calls / nullif(rates.calls, 0) AS busy_rate,
        rates.failed_calls / nullif(rates.calls, 0) AS failed_rate,
        rates.voicemail_calls / nullif(rates.calls, 0) AS voicemail_rate,
        rates.short_calls / nullif(rates.connected_calls, 0) AS short_call_rate
    FROM rates
    LEFT JOIN outcomes USING (day, model_id)
    LEFT JOIN call_duration_daily AS durations USING (day, model_id)
),
computed AS (
    FROM (SELECT day, model_id, columns('_(calls|rate)$')::DOUBLE FROM rates)
    UNPIVOT INCLUDE NULLS (found FOR name IN (columns('_(calls|rate)$')))
),
expected AS (
    FROM (SELECT day, model_id, columns('_(calls|rate)$')::DOUBLE FROM others)
    UNPIVOT INCLUDE NULLS (expected FOR name IN (columns('_(calls|rate)$')))
),
different AS (
    SELECT
        day,
        model_id,
        string_agg(
            format(
                '{} is {}, expected {}', name,
                coalesce(format('{:.12g}', round(found, 6)), 'nothing'), coalesce(format('{:.12g}', round(expected, 6)), 'nothing')
            ),
            '; ' ORDER BY name
        ) AS numbers
    FROM computed
    LEFT JOIN expected USING (day, model_id, name)
    WHERE NOT coalesce(abs(found - expected) <= 1e-9, found IS NULL AND expected IS NULL)
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN rates.day IS NULL THEN 'landed, but not computed'
        WHEN loads.day IS NULL THEN 'computed, but never landed'
        WHEN rates.calls <> landed THEN format('{} calls computed, {} landed', rates.calls, landed)
        WHEN numbers IS NOT NULL THEN numbers
        ELSE format(
            'connected_calls is {}, in call_duration_daily {}', rates.connected_calls, durations.connected_calls
        )
    END AS problem
FROM rates
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
LEFT JOIN different USING (day, model_id)
LEFT JOIN call_duration_daily AS durations USING (day, model_id)
WHERE
    rates.calls IS DISTINCT FROM landed
    OR numbers IS NOT NULL
    OR durations.connected_calls <> rates.connected_calls
ORDER BY ALL
