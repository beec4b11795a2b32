-- Estimated cost of calls. Only `user-canceled` calls are known not to be billed, so the minutes of all others count.
-- Without a price, everything that follows from it is NULL.
WITH flags AS (
    SELECT
        day,
        model_id,
        call_id,
        replace(lower(trim(call_status)), '_', '-') IS DISTINCT FROM 'user-canceled' AS is_billed,
        call_outcome = 'person_reached' AS is_person_reached,
        judge_verdicts['goal'] = 'true' AS is_goal_passed,
        duration_seconds
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
counts AS (
    SELECT
        loads.day,
        loads.model_id,
        count(call_id) AS calls,
        count(call_id) FILTER (is_billed) AS billed_calls,
        coalesce(sum(duration_seconds) FILTER (is_billed), 0)::BIGINT AS billed_seconds,
        count(*) FILTER (is_person_reached) AS person_reached_calls,
        count(*) FILTER (is_goal_passed) AS goal_passes
    FROM call_loads AS loads
    LEFT JOIN flags USING (day, model_id)
    WHERE list_contains($days::DATE[], loads.day)
    GROUP BY loads.day, loads.model_id
)
SELECT
    *,
    $price_per_minute::DOUBLE AS price_per_minute,
    CASE WHEN $price_per_minute IS NOT NULL THEN $price_currency::VARCHAR END AS currency,
    billed_seconds * $price_per_minute::DOUBLE / 60 AS estimated_cost,
    estimated_cost / nullif(person_reached_calls, 0) AS cost_per_person_reached,
    estimated_cost / nullif(goal_passes, 0) AS cost_per_goal_passed
FROM counts
