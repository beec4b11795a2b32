-- The staged records. A stray starts on another day than the one that the API listed it for, for example because its
-- start_time is the scheduled start. It lands on its own day if the run fetches that day; otherwise it is rejected.
SELECT
    * EXCLUDE (own_day, is_stray) REPLACE (
        CASE WHEN is_stray THEN own_day ELSE day END AS day,
        CASE WHEN NOT is_stray THEN reason END AS reason,
        CASE WHEN is_stray THEN day END AS listed_day
    )
FROM (
    SELECT
        *,
        (start_time AT TIME ZONE $timezone)::DATE AS own_day,
        coalesce(
            reason = $another_day
            AND list_contains($run_days::DATE[], own_day)
            AND own_day BETWEEN day - 7 AND day + 7,
            false
        ) AS is_stray
    FROM read_parquet($files, filename = true, file_row_number = true)
)
