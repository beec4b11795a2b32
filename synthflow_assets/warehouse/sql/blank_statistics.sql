-- DuckLake's catalog stores the smallest and largest value that a column ever had: a phone number, a transcript.
-- Once NULL, these stay NULL. Queries still skip files by the statistics of each file.
UPDATE __ducklake_metadata_warehouse.ducklake_table_column_stats AS stats
SET min_value = NULL, max_value = NULL
FROM __ducklake_metadata_warehouse.ducklake_column AS columns
WHERE
    columns.table_id = stats.table_id
    AND columns.column_id = stats.column_id
    AND columns.column_type IN ('varchar', 'json')
