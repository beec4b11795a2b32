WITH records AS (
    SELECT
        day,
        model_id,
        call_id,
        coalesce(array_to_string(unread, ' and '), reason) AS problem,
        coalesce(reason <> $another_day, false) AS is_rejected
    FROM {decoded}
),
landed_before AS (
    SELECT call_id
    FROM calls
    WHERE day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
)
SELECT
    day,
    model_id,
    count(*) AS records,
    count(*) FILTER (is_rejected) AS rejected,
    count(*) FILTER (is_rejected AND call_id IN (FROM landed_before)) AS rejected_that_landed_before,
    mode(problem) FILTER (is_rejected) AS most_frequent_problem
FROM records
GROUP BY day, model_id
HAVING rejected_that_landed_before > $few OR (rejected > $few AND rejected >= $nearly_all * records)
