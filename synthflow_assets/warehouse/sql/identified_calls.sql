-- Those of these calls that a person can be found by. Erased calls have neither number nor transcript.
SELECT call_id
FROM calls
WHERE
    list_contains($call_ids::VARCHAR[], call_id)
    AND coalesce(lead_phone_number, phone_number_from, phone_number_to, transcript) IS NOT NULL
