-- The calls of a day beside those of the same weekday in the eight weeks before; the median of at least four of them is
-- what is expected. The spread around it is the largest of three: that of those days (1.4826 times the median deviation,
-- which for a bell curve is its standard deviation), what chance alone does to a count (its root), and a tenth of the
-- median, because no business is as even as chance. A day four spreads off comes by chance once in 16,000.
WITH judged AS (
    FROM call_loads
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
compared AS (
    SELECT
        judged.day,
        judged.model_id,
        judged.landed,
        count(*) AS weeks,
        median(earlier.landed) AS usual,
        mad(earlier.landed) AS deviation
    FROM judged
    INNER JOIN call_loads AS earlier
        ON
            earlier.model_id = judged.model_id
            AND earlier.day BETWEEN judged.day - 56 AND judged.day - 7
            AND dayofweek(earlier.day) = dayofweek(judged.day)
    GROUP BY ALL
)
SELECT day, model_id, format('{} calls, where {:.0f} are usual on this weekday', landed, usual::DOUBLE) AS problem
FROM compared
WHERE weeks >= 4 AND abs(landed - usual) > 4 * greatest(1.4826 * deviation, sqrt(usual + 1), usual / 10)
ORDER BY ALL
