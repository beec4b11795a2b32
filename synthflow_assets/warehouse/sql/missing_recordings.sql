-- Connected calls without a stored recording, and how often it was requested. Calls that had none before are included for
-- some runs, because their recording may have been made since. Calls of erased people are excluded.
SELECT
    calls.day,
    calls.model_id,
    calls.call_id,
    coalesce(noted.requests, 0) AS requests
FROM calls
LEFT JOIN call_recordings AS noted USING (call_id)
WHERE
    calls.day BETWEEN $first_day AND $last_day
    AND ($days IS NULL OR list_contains($days::DATE[], calls.day))
    AND ($call_ids IS NULL OR list_contains($call_ids::VARCHAR[], calls.call_id))
    AND list_contains($connected_statuses::VARCHAR[], trim(calls.call_status))
    AND coalesce(calls.lead_phone_number, calls.phone_number_from, calls.phone_number_to, calls.transcript) IS NOT NULL
    AND noted.sha256 IS NULL
    AND coalesce(noted.requests, 0) < $max_requests
ORDER BY ALL
