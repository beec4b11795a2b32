WITH scoped AS (
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
found AS (
    SELECT 'call_status' AS field, call_status AS value, $known_call_status::VARCHAR[] AS known FROM scoped
    UNION ALL
    SELECT 'type_of_call', type_of_call, $known_type_of_call::VARCHAR[] FROM scoped
    UNION ALL
    SELECT 'end_call_reason', end_call_reason, $known_end_call_reason::VARCHAR[] FROM scoped
    UNION ALL
    SELECT
        'telephony_disconnect_reason', telephony_disconnect_reason, $known_telephony_disconnect_reason::VARCHAR[]
    FROM scoped
    UNION ALL
    SELECT 'telephony_hangup', telephony_hangup, $known_telephony_hangup::VARCHAR[] FROM scoped
)
SELECT
    NULL::DATE AS day,
    NULL::VARCHAR AS model_id,
    -- What is not a plain word may be anything, so it is not shown.
    format(
        '{} is {} in {} calls, which is not documented',
        field, CASE WHEN regexp_full_match(value, '[A-Za-z_-]{1,40}') THEN value ELSE 'something unreadable' END, count(*)
    ) AS problem
FROM found
WHERE trim(value) <> '' AND NOT list_contains(known, trim(value))
GROUP BY field, value
ORDER BY ALL
LIMIT 100
