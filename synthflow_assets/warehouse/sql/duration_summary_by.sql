-- Durations of the calls in a range of days, for each value of an expression over the columns of the histogram.
-- The percentiles equal quantile_cont over the calls to the last digit.
-- DuckDB resolves table names of a macro when it is called, so the schema is named.
WITH durations AS (
    SELECT
        grouped_by AS key,
        duration_seconds,
        call_status IN ({connected_statuses}) AS is_connected,
        sum(calls)::BIGINT AS calls
    FROM {schema}.call_duration_histogram
    WHERE day BETWEEN from_day::DATE AND to_day::DATE AND condition
    GROUP BY 1, 2, 3
),
counted AS (
    SELECT
        key,
        sum(calls)::BIGINT AS calls,
        coalesce(sum(calls) FILTER (is_connected), 0)::BIGINT AS connected_calls,
        sum(calls) FILTER (is_connected AND duration_seconds IS NOT NULL) AS measured_calls,
        coalesce(sum(calls * duration_seconds) FILTER (is_connected), 0)::BIGINT AS total_duration_seconds,
        max(duration_seconds) FILTER (is_connected) AS max_duration_seconds
    FROM durations
    GROUP BY key
),
-- For each duration, how many calls are shorter.
ranked AS (
    SELECT
        key,
        duration_seconds,
        sum(calls) OVER (PARTITION BY key ORDER BY duration_seconds ROWS UNBOUNDED PRECEDING) - calls AS shorter
    FROM durations
    WHERE is_connected AND duration_seconds IS NOT NULL
),
-- A percentile lies between two calls of neighbouring ranks.
percentile_ranks AS (
    SELECT key, share, share * (measured_calls - 1)::DOUBLE AS percentile_rank
    FROM counted
    CROSS JOIN (SELECT unnest([0.5, 0.9, 0.95, 0.99]::DOUBLE[]) AS share)
),
neighbours AS (
    SELECT
        percentile_ranks.key,
        share,
        any_value(percentile_rank - floor(percentile_rank)) AS weight,
        max(duration_seconds) FILTER (shorter <= floor(percentile_rank))::DOUBLE AS below,
        max(duration_seconds) FILTER (shorter <= ceil(percentile_rank))::DOUBLE AS above
    FROM percentile_ranks
    JOIN ranked ON ranked.key IS NOT DISTINCT FROM percentile_ranks.key
    GROUP BY percentile_ranks.key, share
),
percentiles AS (
    -- Interpolated as DuckDB does it; another order of operations changes the last digit.
    SELECT key, list(below * (1 - weight) + above * weight ORDER BY share) AS percentiles
    FROM neighbours
    GROUP BY key
)
SELECT
    counted.key,
    calls,
    connected_calls,
    total_duration_seconds,
    total_duration_seconds / nullif(measured_calls, 0) AS mean_duration_seconds,
    percentiles[1] AS median_duration_seconds,
    percentiles[2] AS p90_duration_seconds,
    percentiles[3] AS p95_duration_seconds,
    percentiles[4] AS p99_duration_seconds,
    max_duration_seconds
FROM counted
LEFT JOIN percentiles ON percentiles.key IS NOT DISTINCT FROM counted.key
