-- One row for each (day, model_id) that was fetched: what fetching counted, joined with what landed.
INSERT INTO call_loads BY NAME
WITH fetched AS (
    SELECT
        unnest($days::DATE[]) AS day,
        unnest($model_ids::VARCHAR[]) AS model_id,
        unnest($total_records::BIGINT[]) AS total_records,
        unnest($fetched::BIGINT[]) AS fetched,
        unnest($duplicates::BIGINT[]) AS duplicates,
        unnest($outside_window::BIGINT[]) AS outside_window,
        unnest($other_model::BIGINT[]) AS other_model,
        unnest($requests::BIGINT[]) AS requests,
        unnest($closed::BOOLEAN[]) AS closed
),
landed AS (
    SELECT
        day,
        model_id,
        count(*) FILTER (reason IS NULL) AS landed,
        count(*) FILTER (reason IS NOT NULL) AS rejected,
        count(*) FILTER (reason IS NULL AND is_open) AS open_calls
    FROM read_parquet($files)
    GROUP BY ALL
)
SELECT
    day,
    model_id,
    total_records,
    fetched,
    coalesce(landed, 0) AS landed,
    coalesce(rejected, 0) AS rejected,
    duplicates,
    outside_window,
    other_model,
    coalesce(open_calls, 0) AS open_calls,
    requests,
    closed AND coalesce(open_calls, 0) = 0 AS settled,
    $run_id AS run_id,
    $loaded_at::TIMESTAMPTZ AS loaded_at
FROM fetched
LEFT JOIN landed USING (day, model_id)
