-- Rejected records whose call is stored: the version that landed before, or another record of the same call. `is_kept`: the
-- version that landed before stays in the partition. `is_open`: the stored version had not ended.
CREATE OR REPLACE TEMP TABLE stored_rejects AS
SELECT
    rejected.filename,
    rejected.file_row_number,
    rejected.day,
    rejected.model_id,
    rejected.call_id,
    rejected.reason,
    rejected.day = calls.day AND rejected.model_id = calls.model_id AS is_same_partition,
    is_same_partition AND rejected.call_id NOT IN (SELECT call_id FROM temp.staged WHERE reason IS NULL) AS is_kept,
    calls.is_open,
    calls.start_time
FROM (SELECT * FROM temp.staged WHERE reason IS NOT NULL) AS rejected
JOIN (SELECT *, coalesce({is_open}, false) AS is_open FROM calls) AS calls USING (call_id)
WHERE calls.day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
