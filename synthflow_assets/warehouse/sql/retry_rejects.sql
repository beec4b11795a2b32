-- Decode the stored records again. Each one lands, is known because its call has landed already, or stays rejected.
CREATE OR REPLACE TEMP TABLE typed AS
SELECT
    *,
    CASE
        WHEN reason IS NULL AND NOT is_stored AND nth = 1 THEN 'landed'
        WHEN reason IS NULL OR (reason = $another_day AND is_stored) THEN 'known'
        ELSE 'rejected'
    END AS outcome
FROM (
    SELECT
        *,
        call_id IN (SELECT call_id FROM calls) AS is_stored,
        (day, model_id, call_id) IN (SELECT (day, model_id, call_id) FROM calls) AS is_stored_here,
        row_number() OVER (PARTITION BY call_id, reason IS NULL) AS nth
    FROM ({decode})
)
