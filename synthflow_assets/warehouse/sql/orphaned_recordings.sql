-- Files of recordings whose call has no phone number, or is not in `calls`. `is_settled`: no run is writing the file any
-- more. Transcripts are not checked here, because this would read all of them.
SELECT
    call_id,
    location,
    day,
    sha256 IS NOT NULL OR loaded_at < now() - INTERVAL 1 DAY AS is_settled
FROM call_recordings
WHERE
    location IS NOT NULL
    AND call_id NOT IN (
        SELECT call_id
        FROM calls
        WHERE coalesce(lead_phone_number, phone_number_from, phone_number_to) IS NOT NULL
    )
