-- Callers by day and agent. They are identified by caller_key, over the calls of all agents. A landed day without calls has
-- a row of zeros. If calls have no key, the numbers of callers are unknown, not 0.
WITH first_days AS (
    SELECT caller_key, min(day) AS first_day
    FROM calls
    WHERE caller_key IS NOT NULL
    GROUP BY caller_key
),
-- A repeat needs the calls of the seven days before. One more day covers a change of the clock.
recent AS (
    SELECT
        day,
        model_id,
        caller_key,
        call_outcome = 'person_reached' AS is_person_reached,
        epoch_ms(start_time) AS start_ms,
        start_ms - lag(start_ms) OVER (PARTITION BY caller_key ORDER BY start_ms, call_id) AS ms_since_last_call
    FROM calls
    WHERE caller_key IS NOT NULL AND day >= list_min($days::DATE[]) - 8
),
by_caller AS (
    SELECT
        day,
        model_id,
        caller_key,
        count(*) AS calls,
        bool_or(is_person_reached) AS is_reached,
        min(ms_since_last_call) AS ms_since_last_call
    FROM recent
    WHERE list_contains($days::DATE[], day)
    GROUP BY day, model_id, caller_key
),
counts AS (
    SELECT
        day,
        model_id,
        sum(by_caller.calls)::BIGINT AS identified_calls,
        count(*) AS callers,
        count(*) FILTER (is_reached) AS reached_callers,
        count(*) FILTER (day = first_day) AS new_callers,
        count(*) FILTER (ms_since_last_call <= 24 * 3600 * 1000) AS repeat_callers_24h,
        count(*) FILTER (ms_since_last_call <= 7 * 24 * 3600 * 1000) AS repeat_callers_7d
    FROM by_caller
    JOIN first_days USING (caller_key)
    GROUP BY day, model_id
),
all_calls AS (
    SELECT day, model_id, count(*) AS calls
    FROM calls
    WHERE list_contains($days::DATE[], day)
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    coalesce(calls, 0) AS calls,
    coalesce(identified_calls, 0) AS identified_calls,
    CASE WHEN all_calls.calls IS NULL THEN 0 ELSE callers END AS callers,
    CASE WHEN all_calls.calls IS NULL THEN 0 ELSE reached_callers END AS reached_callers,
    CASE WHEN all_calls.calls IS NULL THEN 0 ELSE new_callers END AS new_callers,
    CASE WHEN all_calls.calls IS NULL THEN 0 ELSE repeat_callers_24h END AS repeat_callers_24h,
    CASE WHEN all_calls.calls IS NULL THEN 0 ELSE repeat_callers_7d END AS repeat_callers_7d,
    identified_calls / callers AS calls_per_caller
FROM call_loads
LEFT JOIN all_calls USING (day, model_id)
LEFT JOIN counts USING (day, model_id)
WHERE list_contains($days::DATE[], day)
