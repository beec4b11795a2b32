-- Part of the replacement of some (day, model_id): everything that an earlier fetch wrote for them.
DELETE FROM {table}
WHERE (day, model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
