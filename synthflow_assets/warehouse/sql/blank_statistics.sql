-- The catalog keeps the smallest and the largest value that a column has ever had, whole: a phone number, a transcript.
-- What is unknown stays unknown when rows are added. Files are still told apart by their own statistics.
UPDATE __ducklake_metadata_warehouse.ducklake_table_column_stats AS stats
SET min_value = NULL, max_value = NULL
FROM __ducklake_metadata_warehouse.ducklake_column AS columns
WHERE
    columns.table_id = stats.table_id
    AND columns.column_id = stats.column_id
    AND columns.column_type IN ('varchar', 'json')
