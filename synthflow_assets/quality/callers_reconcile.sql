-- Callers are counted again, by joining each call with the first and with the last earlier call of the same caller.
WITH checked AS (
    SELECT DISTINCT caller_key
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
placed AS (
    SELECT
        day,
        model_id,
        caller_key,
        call_outcome,
        start_time,
        row_number() OVER (PARTITION BY caller_key ORDER BY start_time, call_id) AS place
    FROM calls
    SEMI JOIN checked USING (caller_key)
),
marked AS (
    SELECT
        placed.*,
        first_call.day = placed.day AS is_new,
        placed.start_time - earlier.start_time <= INTERVAL 24 HOUR AS is_repeat_24h,
        placed.start_time - earlier.start_time <= INTERVAL 168 HOUR AS is_repeat_7d
    FROM placed
    JOIN placed AS first_call ON first_call.caller_key = placed.caller_key AND first_call.place = 1
    LEFT JOIN placed AS earlier ON earlier.caller_key = placed.caller_key AND earlier.place = placed.place - 1
    WHERE $days IS NULL OR list_contains($days::DATE[], placed.day)
),
expected AS (
    SELECT
        day,
        model_id,
        [
            count(DISTINCT caller_key),
            count(DISTINCT caller_key) FILTER (call_outcome = 'person_reached'),
            count(DISTINCT caller_key) FILTER (is_new),
            count(DISTINCT caller_key) FILTER (is_repeat_24h),
            count(DISTINCT caller_key) FILTER (is_repeat_7d)
        ] AS counts
    FROM marked
    GROUP BY day, model_id
),
computed AS (
    SELECT
        day,
        model_id,
        [callers, reached_callers, new_callers, repeat_callers_24h, repeat_callers_7d] AS computed,
        -- Without a key in any call, callers are unknown. Without a call, there are none.
        CASE WHEN calls = 0 THEN 0 END AS without_callers
    FROM callers_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
)
SELECT
    day,
    model_id,
    format(
        'all, reached, new callers and those that repeat within 24 hours and 7 days are {}, expected {}',
        computed::VARCHAR, expected::VARCHAR
    ) AS problem
FROM (
    SELECT *, coalesce(counts, [without_callers FOR number IN range(5)]) AS expected
    FROM computed
    LEFT JOIN expected USING (day, model_id)
)
WHERE computed IS DISTINCT FROM expected
ORDER BY ALL
