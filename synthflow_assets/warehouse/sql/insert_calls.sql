INSERT INTO calls BY NAME
SELECT * EXCLUDE (reason, record, filled, unread, filename, file_row_number), $loaded_at::TIMESTAMPTZ AS loaded_at
FROM ({staged})
ANTI JOIN temp.repeated USING (filename, file_row_number)
WHERE reason IS NULL
