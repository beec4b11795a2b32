DELETE FROM call_loads
WHERE (day, model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
