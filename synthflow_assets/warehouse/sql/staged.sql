-- The staged records. A stray starts on another day than the one that the API listed it for, for example because its
-- start_time is the scheduled start. It lands on its own day if the run fetches that day, or if it landed there as a stray
-- before; otherwise it is rejected. Records of excluded partitions are left out.
SELECT
    * EXCLUDE (own_day, is_stray) REPLACE (
        CASE WHEN is_stray THEN own_day ELSE day END AS day,
        CASE WHEN NOT is_stray THEN reason END AS reason,
        CASE WHEN is_stray THEN day END AS listed_day
    )
FROM (
    SELECT
        *,
        CASE
            WHEN reason = $another_day
                THEN list_filter(
                    list_zip($bound_days::DATE[], $from_ms::BIGINT[], $to_ms::BIGINT[]),
                    lambda bound: epoch_ms(start_time) >= bound[2] AND epoch_ms(start_time) < bound[3]
                )[1][1]
        END AS own_day,
        coalesce(
            own_day BETWEEN day - 7 AND day + 7
            AND (list_contains($run_days::DATE[], own_day) OR call_id IN (SELECT call_id FROM temp.strays)),
            false
        ) AS is_stray
    FROM read_parquet($files, filename = true, file_row_number = true)
    ANTI JOIN (
        SELECT unnest($excluded_days::DATE[]) AS day, unnest($excluded_model_ids::VARCHAR[]) AS model_id
    ) USING (day, model_id)
)
