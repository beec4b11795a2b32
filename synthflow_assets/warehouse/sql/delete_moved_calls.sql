-- A call whose start the API has corrected may have landed on a neighbouring day before; call_id stays unique.
DELETE FROM calls
WHERE
    day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    AND call_id IN (SELECT call_id FROM read_parquet($files) WHERE reason IS NULL)
