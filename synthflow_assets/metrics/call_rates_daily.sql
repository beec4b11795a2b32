-- Calls by outcome, status and result, and rates of these numbers. A landed day without calls has a row of zeros.
WITH with_transfers AS (
    SELECT *, list_filter(actions, lambda action: contains(action.action_type, 'transfer')) AS transfers
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
flags AS (
    SELECT
        *,
        trim(call_status) AS status,
        coalesce(list_contains($connected_statuses::VARCHAR[], status), false) AS is_connected,
        call_outcome = 'person_reached' AS is_person_reached,
        coalesce(len(transfers) > 0, false) AS is_transferred,
        -- Until September 2026 transfers had no status: such a transfer neither succeeded nor failed, as far as is known.
        is_transferred
            AND len(list_filter(transfers, lambda one: NOT one.failed AND one.status IS NOT NULL)) > 0 AS has_success,
        is_transferred AND NOT has_success AND len(list_filter(transfers, lambda one: one.failed)) > 0 AS has_failure
    FROM with_transfers
),
counts AS (
    SELECT
        loads.day,
        loads.model_id,
        count(call_id) AS calls,
        count(*) FILTER (is_connected) AS connected_calls,
        count(*) FILTER (is_person_reached) AS person_reached_calls,
        count(*) FILTER (is_person_reached AND human_turns = 0) AS silent_calls,
        count(*) FILTER (status IN ('no-answer', 'no_answer')) AS no_answer_calls,
        count(*) FILTER (status = 'busy') AS busy_calls,
        count(*) FILTER (status = 'failed') AS failed_calls,
        count(*) FILTER (list_contains($voicemail_statuses::VARCHAR[], status)) AS voicemail_calls,
        count(*) FILTER (is_connected AND duration_seconds < $short_call_seconds::BIGINT) AS short_calls,
        count(*) FILTER (is_transferred) AS transferred_calls,
        count(*) FILTER (has_success) AS transfer_success_calls,
        count(*) FILTER (has_failure) AS transfer_failed_calls,
        count(*) FILTER (is_person_reached AND NOT is_transferred) AS contained_calls,
        count(*) FILTER (judge_found_full_error) AS calls_with_full_error,
        count(*) FILTER (judge_found_full_error OR judge_found_partial_or_error) AS calls_with_any_error
    FROM call_loads AS loads
    LEFT JOIN flags USING (day, model_id)
    WHERE list_contains($days::DATE[], loads.day)
    GROUP BY loads.day, loads.model_id
)
SELECT
    *,
    connected_calls / nullif(calls, 0) AS connection_rate,
    person_reached_calls / nullif(calls, 0) AS person_reached_rate,
    no_answer_calls / nullif(calls, 0) AS no_answer_rate,
    busy_calls / nullif(calls, 0) AS busy_rate,
    failed_calls / nullif(calls, 0) AS failed_rate,
    voicemail_calls / nullif(calls, 0) AS voicemail_rate,
    short_calls / nullif(connected_calls, 0) AS short_call_rate,
    transfer_success_calls / nullif(transfer_success_calls + transfer_failed_calls, 0) AS transfer_success_rate,
    contained_calls / nullif(person_reached_calls, 0) AS containment_rate
FROM counts
