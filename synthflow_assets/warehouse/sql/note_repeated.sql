-- Find calls that are in two partitions of a batch: their start was corrected between the fetches, or their records name no
-- agent and were listed for several. A call lands once, on the later day. Comparing hashes first takes a quarter of the memory.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT filename, file_row_number, day, model_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY call_id ORDER BY day DESC, model_id) AS nth
    FROM (
        SELECT filename, file_row_number, day, model_id, call_id
        FROM read_parquet($files, filename = true, file_row_number = true)
        WHERE reason IS NULL AND hash(call_id) IN (
            SELECT hash(call_id)
            FROM read_parquet($files)
            WHERE reason IS NULL
            GROUP BY hash(call_id)
            HAVING count(*) > 1
        )
    )
)
WHERE nth > 1
