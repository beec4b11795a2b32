-- Statistics of a metric table, compared with those of the sorted values. Percentiles are interpolated here by hand, so
-- that they do not depend on DuckDB's function.
WITH sorted_values AS (
    SELECT {grain}, list_sort(list(measurement)) AS sorted
    FROM ({of})
    WHERE measurement IS NOT NULL AND ($days IS NULL OR list_contains($days::DATE[], day))
    GROUP BY {grain}
),
ranked AS (
    SELECT
        *,
        [
            sorted[1 + floor(rank)::BIGINT] * (1 - rank % 1) + sorted[1 + ceil(rank)::BIGINT] * (rank % 1)
            FOR rank IN [(len(sorted) - 1) * share FOR share IN [0.5::DOUBLE, 0.9, 0.95, 0.99]]
        ] AS percentiles
    FROM sorted_values
),
expected AS (
    SELECT
        {grain},
        unnest(['total', 'mean', 'median', 'p90', 'p95', 'p99', 'min', 'max']) || '_{name}' AS statistic,
        unnest(
            list_concat([list_sum(sorted)::DOUBLE, list_avg(sorted)], percentiles, [sorted[1]::DOUBLE, sorted[-1]])
        ) / {divided_by} AS expected
    FROM ranked
),
computed AS (
    FROM (
        SELECT {grain}, {columns}
        FROM {table}
        WHERE $days IS NULL OR list_contains($days::DATE[], day)
    )
    UNPIVOT INCLUDE NULLS (computed FOR statistic IN ({names}))
)
SELECT
    day,
    model_id,
    min(format(
        '{{}} is {{}}, expected {{}}',
        statistic,
        coalesce(format('{{:.12g}}', round(computed, 6)), 'nothing'),
        coalesce(format('{{:.12g}}', round(expected, 6)), 'nothing')
    )) || CASE WHEN count(*) > 1 THEN format('; {{}} more statistics differ', count(*) - 1) ELSE '' END AS problem
FROM computed
LEFT JOIN expected USING ({grain}, statistic)
WHERE
    NOT coalesce(
        abs(computed - expected) <= 1e-9 * greatest(1, abs(expected)),
        expected IS NULL AND coalesce(computed, 0) = 0
    )
GROUP BY day, model_id
