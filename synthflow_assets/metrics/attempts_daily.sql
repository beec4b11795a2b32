-- Outbound calls to each lead until the lead is reached, by the day of the first. Calls after that are no attempts.
-- $days does not limit the calls that are read: a later call changes the row of an earlier day.
WITH attempts AS (
    SELECT
        day,
        model_id,
        caller_key,
        call_outcome = 'person_reached' AS is_person_reached,
        row_number() OVER (PARTITION BY model_id, caller_key ORDER BY start_time, call_id) AS attempt
    FROM calls
    WHERE lower(trim(type_of_call)) = 'outbound' AND caller_key IS NOT NULL
),
leads AS (
    SELECT
        min(day) AS day,
        model_id,
        min(attempt) FILTER (is_person_reached) AS reached_at,
        least(coalesce(reached_at, max(attempt)), 10) AS last_attempt  -- later attempts count as 10
    FROM attempts
    GROUP BY model_id, caller_key
),
counts AS (
    SELECT
        day,
        model_id,
        attempt,
        count(*) AS leads,
        count(*) FILTER (attempt = last_attempt AND reached_at IS NOT NULL) AS reached
    FROM (SELECT *, unnest(range(1, last_attempt + 1)) AS attempt FROM leads)
    WHERE list_contains($days::DATE[], day)
    GROUP BY day, model_id, attempt
)
SELECT
    *,
    sum(reached) OVER by_attempt::BIGINT AS reached_so_far,
    max(leads) OVER (PARTITION BY day, model_id) AS all_leads,
    reached_so_far / all_leads AS reached_share
FROM counts
WINDOW by_attempt AS (PARTITION BY day, model_id ORDER BY attempt)
