-- Made-up calls where landing would put them, millions in seconds: what there is of each follows from a hash.
SELECT
    day,
    'agent-' || agent AS model_id,
    day || '-' || agent || '-' || number AS call_id,
    -- A third at any time, the others from nine to six.
    day + to_seconds(CASE WHEN h % 3 = 0 THEN h % 86400 ELSE 32400 + h % 32400 END) AS start_time,
    CASE
        WHEN h // 11 % 100 < 62 THEN 'completed'
        WHEN h // 11 % 100 < 72 THEN 'left_voicemail'
        WHEN h // 11 % 100 < 85 THEN 'no-answer'
        WHEN h // 11 % 100 < 93 THEN 'busy'
        ELSE 'failed'
    END AS call_status,
    -- Median 99 seconds, the longest eight minutes.
    CASE WHEN h // 11 % 100 < 72 THEN 3 + floor(20 * exp(3.2 * (h // 7 % 1000) / 1000))::BIGINT ELSE 0 END
        AS duration_seconds,
    ['inbound', 'outbound'][agent % 2 + 1] AS type_of_call,
    -- Numbers that are called or call several times. No country has the code 999.
    '+999' || (1000000 + h // 73 % $people)::VARCHAR AS lead_phone_number,
    NULL::VARCHAR AS phone_number_from,
    NULL::VARCHAR AS phone_number_to,
    '+14155559999' AS agent_phone_number,
    CASE WHEN h // 79 % 10 > 0 THEN (1 + (day >= $first::DATE + (($last::DATE - $first::DATE) // 2)::INTEGER)::INTEGER)::VARCHAR END
        AS assistant_version,
    ['human_goodbye', 'agent_goodbye', 'human_ended_call', 'agent_ended_call', 'voicemail', NULL][h // 13 % 6 + 1]
        AS end_call_reason,
    ['caller_hangup', 'callee_hangup', 'callee_hangup', 'error', 'unknown', NULL][h // 17 % 6 + 1]
        AS telephony_disconnect_reason,
    ['caller', 'callee'][h // 19 % 2 + 1] AS telephony_hangup,
    CASE
        WHEN h // 11 % 100 < 62 AND h // 23 % 4 = 0 THEN json_object(
            'persona', ['true', 'true', 'false'][h // 29 % 3 + 1],
            'style', ['true', 'true', 'true', 'partial', 'hard to say'][h // 31 % 5 + 1],
            'goal', ['true', 'false', 'not_applicable'][h // 67 % 3 + 1]
        )
    END AS judge_results,
    CASE
        WHEN h // 11 % 100 < 62 AND h // 37 % 3 = 0 THEN json_object(
            'preferred day', {'value': 'Monday', 'collected': h // 41 % 4 > 0},
            'order_number', {'value': NULL, 'collected': h // 43 % 2 > 0}
        )
    END AS collected_variables,
    CASE
        WHEN h // 11 % 100 < 62 AND h // 47 % 5 = 0 THEN json_object(
            'action', {
                'action_type': ['transfer_call_action_type', 'send_sms_action_type'][h // 53 % 2 + 1],
                'return_value': [
                    {'status': 'transfer-success', 'failed_reason': NULL},
                    {'status': 'transfer-failed-timeout', 'failed_reason': 'destination_unavailable'},
                    {'status': 'transfer-failed-connection-error', 'failed_reason': 'rejected_by_destination'}
                ][greatest(h // 59 % 9 - 5, 1)]
            },
            'extract_info_city', {
                'action_type': 'extract_info_action_type',
                'return_value': {'city': ['Oslo', NULL][h // 71 % 2 + 1]}
            }
        )
    END AS executed_actions,
    CASE WHEN h // 11 % 100 < 72 THEN 1000 * floor(20 * exp(3.2 * (h // 7 % 1000) / 1000))::BIGINT END
        AS telephony_duration_ms,
    1000 + h // 61 % 20000 AS telephony_ringing_duration_ms,
    NULL::VARCHAR AS transcript,
    NULL::VARCHAR AS error_message,
    now() AS loaded_at
FROM (
    SELECT day, agent, number, (hash(day, agent, number) % 100000007)::BIGINT AS h
    FROM (SELECT unnest(generate_series($first::DATE, $last::DATE, INTERVAL 1 DAY))::DATE AS day)
    CROSS JOIN range($agents) AS agents (agent)
    CROSS JOIN range($calls_per_day) AS numbers (number)
    -- Weekends are quiet.
    WHERE isodow(day) < 6 OR number < 0.4 * $calls_per_day
)
