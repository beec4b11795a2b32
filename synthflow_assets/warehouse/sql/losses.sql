-- For each partition: how many records are rejected, and how many calls that landed before are not listed now, or start on
-- another day now. A call is expected again if it starts within the bounds of the day and had ended when it landed. Other
-- calls are listed for another day: strays, and calls whose day differs after a change of the time zone.
WITH asked AS (
    SELECT
        unnest($days::DATE[]) AS day,
        unnest($model_ids::VARCHAR[]) AS model_id,
        unnest($from_ms::BIGINT[]) AS from_ms,
        unnest($to_ms::BIGINT[]) AS to_ms
),
records AS (
    SELECT
        day,
        model_id,
        nullif(trim(call_id, E' \t\n\r'), '') AS call_id,
        coalesce(array_to_string(unread, ' and '), reason) AS problem,
        coalesce(reason <> $another_day, false) AS is_rejected,
        coalesce(reason = $another_day, false) AS is_elsewhere
    FROM {decoded}
),
landed AS (
    SELECT call_id, day, model_id, start_time, listed_day, coalesce({is_open}, false) AS is_open
    FROM calls
    WHERE day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
),
received AS (
    SELECT
        day,
        model_id,
        count(*) AS records,
        count(*) FILTER (is_rejected) AS rejected,
        count(*) FILTER (is_rejected AND call_id IN (SELECT call_id FROM landed)) AS rejected_that_landed,
        count(*) FILTER (is_rejected AND call_id IS NULL) AS rejected_without_id,
        mode(problem) FILTER (is_rejected) AS most_frequent_problem
    FROM records
    GROUP BY day, model_id
),
expected AS (
    SELECT
        day,
        model_id,
        count(*) AS landed_before,
        count(*) FILTER (call_id NOT IN (SELECT call_id FROM records WHERE call_id IS NOT NULL)) AS unlisted,
        count(*) FILTER (
            call_id IN (SELECT call_id FROM records WHERE is_elsewhere)
            AND call_id NOT IN (SELECT call_id FROM records WHERE call_id IS NOT NULL AND NOT is_elsewhere)
        ) AS moved
    FROM landed
    JOIN asked USING (day, model_id)
    WHERE
        epoch_ms(start_time) >= from_ms
        AND epoch_ms(start_time) < to_ms
        AND listed_day IS NULL
        AND NOT is_open
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    coalesce(records, 0) AS records,
    coalesce(rejected, 0) AS rejected,
    coalesce(rejected_that_landed, 0) AS rejected_that_landed,
    coalesce(rejected_without_id, 0) AS rejected_without_id,
    most_frequent_problem,
    coalesce(landed_before, 0) AS landed_before,
    coalesce(unlisted, 0) AS unlisted,
    coalesce(moved, 0) AS moved
FROM asked
LEFT JOIN received USING (day, model_id)
LEFT JOIN expected USING (day, model_id)
ORDER BY day, model_id
