-- Callers are counted again from each call's list of earlier calls of the same caller, instead of from windows and joins.
WITH histories AS (
    SELECT caller_key, list((start_time, day) ORDER BY start_time, call_id) AS history
    FROM calls
    WHERE caller_key IS NOT NULL
    GROUP BY caller_key
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
    WHERE caller_key IS NOT NULL
),
marked AS (
    SELECT
        placed.*,
        history[1][2] = day AS is_new,
        place > 1 AND start_time - history[place - 1][1] <= INTERVAL 24 HOUR AS is_repeat_24h,
        place > 1 AND start_time - history[place - 1][1] <= INTERVAL 168 HOUR AS is_repeat_7d
    FROM placed
    JOIN histories USING (caller_key)
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
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
