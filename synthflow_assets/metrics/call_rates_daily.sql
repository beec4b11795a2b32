-- Counts by status, and the rates that follow. A day without calls has a row of zeros, because it was fetched.
WITH counted AS (
    SELECT
        day,
        model_id,
        count(*) AS calls,
        count(*) FILTER (list_contains($connected_statuses::VARCHAR[], call_status)) AS connected_calls,
        count(*) FILTER (call_status = 'no-answer') AS no_answer_calls,
        count(*) FILTER (call_status = 'busy') AS busy_calls,
        count(*) FILTER (call_status = 'failed') AS failed_calls,
        count(*) FILTER (list_contains($voicemail_statuses::VARCHAR[], call_status)) AS voicemail_calls,
        count(*) FILTER (
            list_contains($connected_statuses::VARCHAR[], call_status) AND duration_seconds < $short_call_seconds::BIGINT
        ) AS short_calls
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]))
    GROUP BY day, model_id
),
landed AS (
    SELECT
        day,
        model_id,
        coalesce(calls, 0) AS calls,
        coalesce(connected_calls, 0) AS connected_calls,
        coalesce(no_answer_calls, 0) AS no_answer_calls,
        coalesce(busy_calls, 0) AS busy_calls,
        coalesce(failed_calls, 0) AS failed_calls,
        coalesce(voicemail_calls, 0) AS voicemail_calls,
        coalesce(short_calls, 0) AS short_calls
    FROM (SELECT day, model_id FROM call_loads WHERE day IN (SELECT unnest($days::DATE[])))
    LEFT JOIN counted USING (day, model_id)
)
SELECT
    *,
    connected_calls / nullif(calls, 0) AS connection_rate,
    no_answer_calls / nullif(calls, 0) AS no_answer_rate,
    busy_calls / nullif(calls, 0) AS busy_rate,
    failed_calls / nullif(calls, 0) AS failed_rate,
    voicemail_calls / nullif(calls, 0) AS voicemail_rate,
    short_calls / nullif(connected_calls, 0) AS short_call_rate
FROM landed
