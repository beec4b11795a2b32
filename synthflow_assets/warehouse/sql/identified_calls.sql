-- The calls that an erasure can find. Erased calls have neither number nor transcript.
SELECT call_id
FROM calls
WHERE
    day BETWEEN $first_day AND $last_day
    AND list_contains($call_ids::VARCHAR[], call_id)
    AND coalesce(lead_phone_number, phone_number_from, phone_number_to, transcript) IS NOT NULL
