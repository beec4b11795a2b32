SELECT * EXCLUDE (fields, run_id, loaded_at)
FROM call_loads
WHERE (day, model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
ORDER BY day, model_id
