-- One row for each fetched partition: the counts of fetching, joined with the counts of landing.
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
        unnest($closed::BOOLEAN[]) AS closed,
        make_timestamptz(unnest($until_ms::BIGINT[]) * 1000) AS fetched_until
),
batch AS (
    SELECT
        coalesce(listed_day, day) AS day,
        model_id,
        reason,
        reason IS NULL AND listed_day IS NULL AS has_landed,
        listed_day IS NOT NULL AS is_stray,
        coalesce({is_open}, false) AS is_open,
        filled,
        extra,
        start_time
    FROM ({staged})
    ANTI JOIN temp.repeated USING (filename, file_row_number)
),
landed AS (
    SELECT
        day,
        model_id,
        count(*) FILTER (has_landed) AS landed,
        count(*) FILTER (reason IS NOT NULL) AS all_rejected,
        count(*) FILTER (is_stray) AS strays,
        count(*) FILTER (reason IS NULL AND is_open) AS open_calls,
        -- A call that is open for longer is never closed, and its day would be fetched for ever.
        max(start_time) FILTER (reason IS NULL AND is_open) > $final_before::TIMESTAMPTZ AS may_end
    FROM batch
    GROUP BY ALL
),
repeated AS (
    SELECT day, model_id, count(*) AS elsewhere
    FROM temp.repeated
    GROUP BY ALL
),
stored_rejects AS (
    SELECT
        day,
        model_id,
        count(*) AS stored,
        count(DISTINCT call_id) FILTER (is_kept) AS kept,
        count(DISTINCT call_id) FILTER (is_kept AND is_open) AS kept_open_calls,
        max(start_time) FILTER (is_kept AND is_open) > $final_before::TIMESTAMPTZ AS kept_may_end,
        count(DISTINCT call_id) FILTER (NOT is_same_partition) AS on_another_day
    FROM temp.stored_rejects
    GROUP BY ALL
),
-- Calls with the same fields are counted together. An unknown field is counted by its name if that is a plain word;
-- other names could contain personal data.
with_field AS (
    SELECT day, model_id, field, calls
    FROM (
        SELECT day, model_id, unnest($fields) AS field, unnest(filled) AS is_filled, calls
        FROM (
            SELECT day, model_id, filled, count(*) AS calls
            FROM batch
            WHERE has_landed
            GROUP BY ALL
        )
    )
    WHERE is_filled
    UNION ALL
    SELECT day, model_id, CASE WHEN regexp_full_match(name, '[A-Za-z_][A-Za-z0-9_-]{0,59}') THEN name ELSE $unreadable END, 1
    FROM (
        SELECT day, model_id, unnest(json_keys(extra)) AS name
        FROM batch
        WHERE has_landed AND extra IS NOT NULL
    )
    WHERE NOT list_contains($fields, name)  -- a known field is in `extra` if it could not be decoded
),
fields AS (
    SELECT day, model_id, map_from_entries(list((field, calls) ORDER BY calls DESC, field)[:$max_fields]) AS fields
    FROM (SELECT day, model_id, field, sum(calls)::BIGINT AS calls FROM with_field GROUP BY ALL)
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    total_records,
    fetched,
    coalesce(landed, 0) + coalesce(kept, 0) AS landed,
    coalesce(all_rejected, 0) - coalesce(stored, 0) AS rejected,
    duplicates,
    outside_window + coalesce(strays, 0) + coalesce(elsewhere, 0) + coalesce(on_another_day, 0) AS outside_window,
    other_model,
    coalesce(open_calls, 0) + coalesce(kept_open_calls, 0) AS open_calls,
    requests,
    coalesce(fields, MAP {}) AS fields,
    closed AND NOT coalesce(may_end, false) AND NOT coalesce(kept_may_end, false) AS settled,
    fetched_until,
    $run_id AS run_id,
    $loaded_at::TIMESTAMPTZ AS loaded_at
FROM fetched
LEFT JOIN landed USING (day, model_id)
LEFT JOIN repeated USING (day, model_id)
LEFT JOIN stored_rejects USING (day, model_id)
LEFT JOIN fields USING (day, model_id)
