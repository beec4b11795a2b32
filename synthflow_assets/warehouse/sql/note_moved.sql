-- Find staged calls that landed in another partition before: their start was corrected to a neighbouring day, or their
-- records name no agent and the calls landed for another agent. They are deleted there, so that call_id stays unique.
CREATE OR REPLACE TEMP TABLE moved AS
SELECT
    call_id,
    day,
    model_id,
    -- A stray that is replaced by itself.
    (call_id, day, model_id) IN (
        SELECT (call_id, day, model_id)
        FROM temp.staged
        WHERE listed_day IS NOT NULL
    ) AS stays
FROM calls
WHERE
    day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    AND call_id IN (SELECT call_id FROM temp.staged WHERE reason IS NULL)
