-- Keep the earlier rows of the staged calls, for fields that the API has erased since.
CREATE TEMP TABLE earlier AS
FROM calls
WHERE
    day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    AND call_id IN (SELECT call_id FROM temp.staged WHERE reason IS NULL)
