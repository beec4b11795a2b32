-- A rejected record without an id may be any call of its partition. So the calls that landed there and are not listed now
-- stay, unless all calls that are not listed are to be removed.
CREATE OR REPLACE TEMP TABLE unlisted AS
WITH unidentified AS MATERIALIZED (
    SELECT DISTINCT day, model_id
    FROM temp.staged
    WHERE reason IS NOT NULL AND coalesce(trim(call_id, E' \t\n\r'), '') = '' AND NOT $accept_deleted
)
FROM calls
WHERE
    (day, model_id) IN (SELECT (day, model_id) FROM unidentified)
    AND listed_day IS NULL
    -- The condition on `unidentified` is there because it is usually empty, and the ids of a large batch take memory.
    AND call_id NOT IN (
        SELECT call_id
        FROM temp.staged
        WHERE call_id IS NOT NULL AND (day, model_id) IN (SELECT (day, model_id) FROM unidentified)
    )
