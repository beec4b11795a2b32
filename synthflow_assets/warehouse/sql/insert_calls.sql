INSERT INTO calls BY NAME
SELECT * EXCLUDE (reason, record, is_open, filled), $loaded_at::TIMESTAMPTZ AS loaded_at
FROM read_parquet($files)
WHERE reason IS NULL
