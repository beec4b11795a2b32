-- Held against what landed, and all that is in seconds against the calls, as call_duration_reconciles does it.
WITH metric AS (
    FROM telephony_timing_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
measured AS (
    SELECT
        day,
        model_id,
        telephony_ringing_duration_ms AS ringing_ms,
        CASE WHEN list_contains($connected_statuses::VARCHAR[], trim(call_status)) THEN telephony_duration_ms END AS talk_ms,
        1000 * duration_seconds - talk_ms AS difference_ms
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
-- One measure after the other, each by itself: a row for each call and measure takes three times the memory.
sorted_ms AS (
    SELECT day, model_id, 'ringing' AS measure, list_sort(list(ringing_ms)) AS sorted
    FROM measured
    WHERE ringing_ms IS NOT NULL
    GROUP BY day, model_id
    UNION ALL
    SELECT day, model_id, 'talk' AS measure, list_sort(list(talk_ms)) AS sorted
    FROM measured
    WHERE talk_ms IS NOT NULL
    GROUP BY day, model_id
    UNION ALL
    SELECT day, model_id, 'difference' AS measure, list_sort(list(difference_ms)) AS sorted
    FROM measured
    WHERE difference_ms IS NOT NULL
    GROUP BY day, model_id
),
ranked AS (
    SELECT
        *,
        [
            sorted[1 + floor(rank)::BIGINT] * (1 - rank % 1) + sorted[1 + ceil(rank)::BIGINT] * (rank % 1)
            FOR rank IN [(len(sorted) - 1) * share FOR share IN [0.5::DOUBLE, 0.9, 0.95, 0.99]]
        ] AS quantiles
    FROM sorted_ms
),
expected AS (
    SELECT
        day,
        model_id,
        unnest(['total', 'mean', 'median', 'p90', 'p95', 'p99', 'min', 'max']) || '_' || measure || '_seconds' AS statistic,
        unnest(
            list_concat([list_sum(sorted)::DOUBLE, list_avg(sorted)], quantiles, [sorted[1]::DOUBLE, sorted[-1]])
        ) / 1000 AS by_calls
    FROM ranked
),
computed AS (
    FROM (SELECT day, model_id, columns('_seconds$')::DOUBLE FROM metric)
    UNPIVOT INCLUDE NULLS (by_table FOR statistic IN (columns('_seconds$')))
),
different AS (
    SELECT
        day,
        model_id,
        count(*) AS statistics,
        min(format(
            '{} is {}, by the calls {}', statistic,
            coalesce(format('{:.12g}', round(by_table, 6)), 'nothing'), coalesce(format('{:.12g}', round(by_calls, 6)), 'nothing')
        )) AS example
    FROM computed
    LEFT JOIN expected USING (day, model_id, statistic)
    WHERE
        NOT coalesce(
            abs(by_table - by_calls) <= 1e-9 * greatest(1, abs(by_calls)),
            by_calls IS NULL AND coalesce(by_table, 0) = 0
        )
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN metric.day IS NULL THEN 'landed, but not computed'
        WHEN loads.day IS NULL THEN 'computed, but never landed'
        WHEN calls <> landed THEN format('{} calls computed, {} landed', calls, landed)
        WHEN ringing_calls > calls OR talk_calls > calls OR compared_calls > talk_calls
            THEN format(
                '{} calls, {} with ringing, {} with talk time, {} of these compared',
                calls, ringing_calls, talk_calls, compared_calls
            )
        ELSE example || CASE WHEN statistics > 1 THEN format('; {} other statistics differ too', statistics - 1) ELSE '' END
    END AS problem
FROM metric
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
LEFT JOIN different USING (day, model_id)
WHERE
    calls IS DISTINCT FROM landed
    OR ringing_calls > calls
    OR talk_calls > calls
    OR compared_calls > talk_calls
    OR statistics > 0
ORDER BY ALL
