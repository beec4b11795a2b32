-- Calls by type, status and duration.
SELECT
    day,
    model_id,
    coalesce(nullif(trim(type_of_call), ''), $not_reported) AS type_of_call,
    coalesce(nullif(trim(call_status), ''), $not_reported) AS call_status,
    duration_seconds,
    count(*) AS calls
FROM calls
WHERE list_contains($days::DATE[], day)
-- By position: in GROUP BY, `call_status` would mean the column of `calls`.
GROUP BY 1, 2, 3, 4, 5
