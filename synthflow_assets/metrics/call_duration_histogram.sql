-- How many calls of each type and status lasted how many seconds.
SELECT
    day,
    model_id,
    coalesce(nullif(trim(type_of_call), ''), 'not_reported') AS type_of_call,
    coalesce(nullif(trim(call_status), ''), 'not_reported') AS call_status,
    duration_seconds,
    count(*) AS calls
FROM calls
WHERE day IN (SELECT unnest($days::DATE[]))
-- By position: the names would mean the columns of `calls`.
GROUP BY 1, 2, 3, 4, 5
