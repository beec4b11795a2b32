-- Exports that are absent, or older than their table. If it is not recorded from which rows a file was exported, its time is
-- compared, which is NULL in a bucket.
SELECT table_name, day, written_at, exists_at_all
FROM (
    {rows_written}
)
LEFT JOIN (
    SELECT
        unnest($exported_names::VARCHAR[]) AS table_name,
        unnest($exported_days::DATE[]) AS day,
        unnest($exported_at::TIMESTAMPTZ[]) AS file_at,
        true AS exists_at_all
) USING (table_name, day)
LEFT JOIN (
    SELECT table_name, day, written_at AS exported_from, true AS is_recorded
    FROM exports
    WHERE folder = $export_folder
) USING (table_name, day)
WHERE
    exists_at_all IS NULL
    OR CASE WHEN is_recorded THEN exported_from IS DISTINCT FROM written_at ELSE file_at < written_at END
