-- Attempts are counted again, lead by lead: the calls up to the first one in which the lead was reached.
WITH first_reached AS (
    SELECT model_id, caller_key, min((start_time, call_id)) AS reached_at
    FROM calls
    WHERE lower(trim(type_of_call)) = 'outbound' AND call_outcome = 'person_reached'
    GROUP BY model_id, caller_key
),
leads AS (
    SELECT
        min(day) AS day,
        model_id,
        caller_key,
        any_value(reached_at) IS NOT NULL AS is_reached,
        count(*) FILTER (reached_at IS NULL OR (start_time, call_id) < reached_at) + is_reached::INTEGER AS attempts
    FROM calls
    LEFT JOIN first_reached USING (model_id, caller_key)
    WHERE lower(trim(type_of_call)) = 'outbound' AND caller_key IS NOT NULL
    GROUP BY model_id, caller_key
),
expected AS (
    SELECT
        day,
        model_id,
        attempt,
        count(*) FILTER (attempts >= attempt) AS leads,
        count(*) FILTER (is_reached AND (attempts = attempt OR (attempt = 10 AND attempts > 10))) AS reached,
        count(*) FILTER (is_reached AND (attempts <= attempt OR attempt = 10)) / count(*) AS reached_share
    FROM leads
    CROSS JOIN (SELECT unnest(range(1, 11)) AS attempt)
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id, attempt
    HAVING leads > 0
),
computed AS (
    FROM attempts_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
)
SELECT
    day,
    model_id,
    format(
        'attempt {}: {} leads and {} reached, expected {} and {}; or the share reached differs',
        attempt, coalesce(computed.leads, 0), coalesce(computed.reached, 0), coalesce(expected.leads, 0),
        coalesce(expected.reached, 0)
    ) AS problem
FROM expected
FULL JOIN computed USING (day, model_id, attempt)
WHERE
    computed.leads IS DISTINCT FROM expected.leads
    OR computed.reached IS DISTINCT FROM expected.reached
    OR NOT coalesce(abs(computed.reached_share - expected.reached_share) <= 1e-9, false)
    OR computed.reached_share IS DISTINCT FROM computed.reached_so_far / computed.all_leads
ORDER BY ALL
LIMIT 100
