-- Counts by status, and the rates that follow. A day without calls has a row of zeros, because it was fetched.
-- Calls are counted by the status as it came, because there are few different ones, and trimming takes longer than counting.
WITH told AS (
    SELECT
        day,
        model_id,
        call_status,
        count(*) AS calls,
        count(*) FILTER (duration_seconds < $short_call_seconds::BIGINT) AS briefs
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]))
    GROUP BY day, model_id, call_status
),
statuses AS (
    SELECT
        day,
        model_id,
        trim(call_status) AS status,
        coalesce(list_contains($connected_statuses::VARCHAR[], status), false) AS is_connected,
        coalesce(list_contains($voicemail_statuses::VARCHAR[], status), false) AS is_voicemail,
        calls,
        briefs
    FROM told
),
counted AS (
    SELECT
        day,
        model_id,
        sum(calls) AS calls,
        sum(calls) FILTER (is_connected) AS connected_calls,
        sum(calls) FILTER (status = 'no-answer') AS no_answer_calls,
        sum(calls) FILTER (status = 'busy') AS busy_calls,
        sum(calls) FILTER (status = 'failed') AS failed_calls,
        sum(calls) FILTER (is_voicemail) AS voicemail_calls,
        sum(briefs) FILTER (is_connected) AS short_calls
    FROM statuses
    GROUP BY day, model_id
),
landed AS (
    SELECT
        day,
        model_id,
        coalesce(calls, 0)::BIGINT AS calls,
        coalesce(connected_calls, 0)::BIGINT AS connected_calls,
        coalesce(no_answer_calls, 0)::BIGINT AS no_answer_calls,
        coalesce(busy_calls, 0)::BIGINT AS busy_calls,
        coalesce(failed_calls, 0)::BIGINT AS failed_calls,
        coalesce(voicemail_calls, 0)::BIGINT AS voicemail_calls,
        coalesce(short_calls, 0)::BIGINT AS short_calls
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
