-- A call whose start the API has corrected may have landed on a neighbouring day before, or with another agent's calls in
-- an earlier batch, where records name no agent; call_id stays unique.
CREATE OR REPLACE TEMP TABLE moved AS
SELECT call_id, day, model_id
FROM calls
WHERE
    day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    AND call_id IN (SELECT call_id FROM read_parquet($files) WHERE reason IS NULL)
