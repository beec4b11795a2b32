INSERT INTO call_rejects BY NAME
SELECT day, model_id, reason, record, $loaded_at::TIMESTAMPTZ AS loaded_at
FROM ({staged})
-- A call that is stored on another day is not missing.
ANTI JOIN (FROM temp.stored_rejects WHERE reason = $another_day) USING (filename, file_row_number)
WHERE reason IS NOT NULL
