-- Connected calls without a stored recording. Calls that had none before are included, because their recording may have
-- been made since. Calls of erased people have neither number nor transcript, and are excluded.
SELECT calls.day, calls.model_id, calls.call_id
FROM calls
WHERE
    day IN (SELECT unnest($days::DATE[]))
    AND list_contains($connected_statuses::VARCHAR[], trim(call_status))
    AND coalesce(lead_phone_number, phone_number_from, phone_number_to, transcript) IS NOT NULL
    AND call_id NOT IN (SELECT call_id FROM call_recordings WHERE location IS NOT NULL)
ORDER BY ALL
