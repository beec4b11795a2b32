-- Find calls that are in two partitions of a batch: their start was corrected between the fetches, or their records name no
-- agent and were listed for several. A call lands once, on the later day, and not as a stray if its own day lists it too.
-- Comparing hashes first takes a quarter of the memory.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT filename, file_row_number, coalesce(listed_day, day) AS day, model_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY call_id ORDER BY listed_day IS NOT NULL, day DESC, model_id) AS nth
    FROM (
        SELECT filename, file_row_number, day, listed_day, model_id, call_id
        FROM temp.staged
        WHERE reason IS NULL AND hash(call_id) IN (
            SELECT hash(call_id)
            FROM temp.staged
            WHERE reason IS NULL
            GROUP BY hash(call_id)
            HAVING count(*) > 1
        )
    )
)
WHERE nth > 1
