INSERT INTO call_rejects BY NAME
SELECT day, model_id, reason, record, $loaded_at::TIMESTAMPTZ AS loaded_at
FROM ({staged})
WHERE reason IS NOT NULL
