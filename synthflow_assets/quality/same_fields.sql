-- Fields that have turned up or gone missing, beside the week before. A field that is empty on a day of few calls says
-- nothing: at least 20 of them should have had it.
WITH scoped AS (
    FROM calls
    WHERE $days IS NULL OR day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[])
),
counted AS (
    UNPIVOT (
        SELECT day, count(*) AS calls, count(COLUMNS(* EXCLUDE (day, model_id, extra, loaded_at)))
        FROM scoped
        GROUP BY day
    )
    ON COLUMNS(* EXCLUDE (day, calls)) INTO NAME field VALUE filled
),
known AS (
    SELECT
        *,
        sum(calls) OVER before AS calls_before,
        sum(filled) OVER before AS filled_before
    FROM counted
    WINDOW before AS (
        PARTITION BY field ORDER BY day RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 DAY PRECEDING
    )
),
unknown AS (
    SELECT day, field, count(*) AS filled
    FROM (SELECT day, unnest(json_keys(extra)) AS field FROM scoped WHERE extra IS NOT NULL)
    GROUP BY day, field
)
SELECT
    day,
    NULL::VARCHAR AS model_id,
    format('{} is empty in all {} calls; {:.0f} % had it in the week before', field, calls, 100 * filled_before / calls_before)
        AS problem
FROM known
WHERE
    ($days IS NULL OR list_contains($days::DATE[], day))
    AND filled = 0
    AND calls * filled_before / calls_before >= 20
UNION ALL
SELECT
    day,
    NULL,
    -- What is not a plain word may be anything, so it is not shown.
    format(
        '{} is new, in {} calls',
        CASE WHEN regexp_full_match(field, '[A-Za-z0-9_-]{1,60}') THEN field ELSE 'a field of an unreadable name' END,
        filled
    )
FROM unknown
WHERE
    ($days IS NULL OR list_contains($days::DATE[], day))
    AND EXISTS (FROM scoped WHERE scoped.day BETWEEN unknown.day - 7 AND unknown.day - 1)
    AND NOT EXISTS (
        FROM unknown AS earlier
        WHERE earlier.field = unknown.field AND earlier.day BETWEEN unknown.day - 7 AND unknown.day - 1
    )
ORDER BY ALL
