-- Fields that are missing or new, compared with the week before; missing ones first. A field counts as missing if at least
-- 20 calls of the day should have had it: on a day of few calls it may be empty by chance. Ignored are days that
-- landed before `fields` was counted, and days that were not over when they were fetched.
WITH scoped AS (
    SELECT day, landed, fields
    FROM call_loads
    WHERE
        fields IS NOT NULL
        AND fetched_until IS NULL
        AND ($days IS NULL OR day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]))
),
landed_days AS (
    SELECT day, sum(landed) AS calls
    FROM scoped
    GROUP BY day
),
came AS (
    SELECT day, field, sum(calls) AS filled
    FROM (SELECT day, unnest(map_keys(fields)) AS field, unnest(map_values(fields)) AS calls FROM scoped)
    GROUP BY day, field
),
compared AS (
    SELECT
        *,
        sum(calls) OVER before AS calls_before,
        coalesce(sum(filled) OVER before, 0) AS filled_before
    FROM landed_days
    CROSS JOIN (SELECT DISTINCT field FROM came)
    LEFT JOIN came USING (day, field)
    WINDOW before AS (
        PARTITION BY field ORDER BY day RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 DAY PRECEDING
    )
)
SELECT
    day,
    NULL::VARCHAR AS model_id,
    CASE
        WHEN filled IS NULL THEN
            format('{} is empty in all {} calls; in the week before, {:.0f} % had it', field, calls, 100 * filled_before / calls_before)
        ELSE format('{} is new, in {} of {} calls', field, filled, calls)
    END AS problem
FROM compared
WHERE
    ($days IS NULL OR list_contains($days::DATE[], day))
    AND (
        (filled IS NULL AND calls * filled_before / calls_before >= 20)
        OR (filled > 0 AND filled_before = 0 AND calls_before > 0 AND NOT list_contains($fields, field))
    )
ORDER BY filled IS NULL DESC, day, field
