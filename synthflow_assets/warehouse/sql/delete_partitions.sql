-- Delete the rows that an earlier load wrote for these partitions.
DELETE FROM {table}
WHERE (day, model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
