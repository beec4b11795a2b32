-- The calls of a day, compared with the median of the same weekday in the eight weeks before, of at least four days.
-- The spread is the largest of three: 1.4826 times the median absolute deviation, which is the standard deviation of a
-- normal distribution; the root of the median, which is that of a count; and a tenth of the median, because real volumes
-- vary more than by chance. By chance a day is four spreads off once in 16,000 days. Only days that were over when they
-- were fetched are compared.
WITH whole_days AS (
    FROM call_loads
    WHERE fetched_until IS NULL
),
judged AS (
    FROM whole_days
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
    INNER JOIN whole_days AS earlier
        ON
            earlier.model_id = judged.model_id
            AND earlier.day BETWEEN judged.day - 56 AND judged.day - 7
            AND dayofweek(earlier.day) = dayofweek(judged.day)
    GROUP BY ALL
)
SELECT day, model_id, format('{} calls, usual on this weekday are {:.0f}', landed, usual::DOUBLE) AS problem
FROM compared
WHERE weeks >= 4 AND abs(landed - usual) > 4 * greatest(1.4826 * deviation, sqrt(usual + 1), usual / 10)
ORDER BY ALL
