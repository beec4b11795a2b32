-- Calls by status, and the rates that follow. A landed day without calls has a row of zeros.
WITH statuses AS (
    SELECT
        *,
        trim(call_status) AS status,
        coalesce(list_contains($connected_statuses::VARCHAR[], status), false) AS is_connected
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
counts AS (
    SELECT
        loads.day,
        loads.model_id,
        count(call_id) AS calls,
        count(*) FILTER (is_connected) AS connected_calls,
        count(*) FILTER (status IN ('no-answer', 'no_answer')) AS no_answer_calls,
        count(*) FILTER (status = 'busy') AS busy_calls,
        count(*) FILTER (status = 'failed') AS failed_calls,
        count(*) FILTER (list_contains($voicemail_statuses::VARCHAR[], status)) AS voicemail_calls,
        count(*) FILTER (is_connected AND duration_seconds < $short_call_seconds::BIGINT) AS short_calls
    FROM call_loads AS loads
    LEFT JOIN statuses USING (day, model_id)
    WHERE list_contains($days::DATE[], loads.day)
    GROUP BY loads.day, loads.model_id
)
SELECT
    *,
    connected_calls / nullif(calls, 0) AS connection_rate,
    no_answer_calls / nullif(calls, 0) AS no_answer_rate,
    busy_calls / nullif(calls, 0) AS busy_rate,
    failed_calls / nullif(calls, 0) AS failed_rate,
    voicemail_calls / nullif(calls, 0) AS voicemail_rate,
    short_calls / nullif(connected_calls, 0) AS short_call_rate
FROM counts
