SELECT
    day,
    model_id,
    CASE
        WHEN timing.day IS NULL THEN 'landed, but not computed; materialize telephony_timing_daily'
        WHEN loads.day IS NULL THEN 'computed, but never landed'
        WHEN calls <> landed THEN format('{} calls computed, {} landed', calls, landed)
        ELSE 'more calls were measured than there are, or the percentiles do not rise'
    END AS problem
FROM (FROM telephony_timing_daily WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS timing
FULL JOIN
    (FROM call_loads WHERE $days IS NULL OR list_contains($days::DATE[], day)) AS loads
    USING (day, model_id)
WHERE
    calls IS DISTINCT FROM landed
    OR ringing_calls > calls
    OR talk_calls > calls
    OR compared_calls > talk_calls
    OR NOT (
        p90_ringing_seconds >= median_ringing_seconds
        AND p95_ringing_seconds >= p90_ringing_seconds
        AND p99_ringing_seconds >= p95_ringing_seconds
        AND max_ringing_seconds >= p99_ringing_seconds
    )
    OR NOT (
        p90_talk_seconds >= median_talk_seconds
        AND p95_talk_seconds >= p90_talk_seconds
        AND p99_talk_seconds >= p95_talk_seconds
        AND max_talk_seconds >= p99_talk_seconds
    )
ORDER BY ALL
