-- Callers in a range of days, for each value of an expression over the columns of calls. Callers do not add up over days,
-- so they are counted in the calls. Whether a caller is new or repeats depends on all earlier calls, not only on those
-- that the condition selects.
WITH first_days AS (
    SELECT caller_key, min(day) AS first_day
    FROM {schema}.calls
    WHERE caller_key IS NOT NULL
    GROUP BY caller_key
),
recent AS (
    SELECT
        *,
        epoch_ms(start_time) - lag(epoch_ms(start_time)) OVER (PARTITION BY caller_key ORDER BY start_time, call_id)
            AS ms_since_last_call
    FROM {schema}.calls
    -- A repeat needs the calls of the seven days before. One more day covers a change of the clock.
    WHERE day BETWEEN from_day::DATE - 8 AND to_day::DATE
),
selected AS (
    SELECT
        grouped_by AS key,
        caller_key,
        count(*) AS calls,
        count(*) FILTER (call_outcome = 'person_reached') > 0 AS is_reached,
        min(ms_since_last_call) AS ms_since_last_call
    FROM recent
    WHERE day >= from_day::DATE AND condition
    GROUP BY 1, 2
),
counted AS (
    SELECT
        key,
        sum(calls)::BIGINT AS calls,
        coalesce(sum(calls) FILTER (caller_key IS NOT NULL), 0)::BIGINT AS identified_calls,
        nullif(count(caller_key), 0) AS callers,
        count(caller_key) FILTER (is_reached) AS reached,
        count(caller_key) FILTER (first_day >= from_day::DATE) AS new,
        count(caller_key) FILTER (ms_since_last_call <= 24 * 3600 * 1000) AS repeat_24h,
        count(caller_key) FILTER (ms_since_last_call <= 7 * 24 * 3600 * 1000) AS repeat_7d
    FROM selected
    LEFT JOIN first_days USING (caller_key)
    GROUP BY key
)
SELECT
    key,
    calls,
    identified_calls,
    callers,
    CASE WHEN callers > 0 THEN reached END AS reached_callers,
    CASE WHEN callers > 0 THEN new END AS new_callers,
    CASE WHEN callers > 0 THEN repeat_24h END AS repeat_callers_24h,
    CASE WHEN callers > 0 THEN repeat_7d END AS repeat_callers_7d,
    identified_calls / callers AS calls_per_caller
FROM counted
