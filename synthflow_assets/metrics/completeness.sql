-- Every day of the range for every agent that was ever fetched: what came of it, or that nobody has asked for it.
SELECT
    day,
    coalesce(name, model_id) AS agent,
    CASE
        WHEN loads.loaded_at IS NULL THEN 'never fetched'
        WHEN NOT settled THEN 'fetched, not settled'
        ELSE 'complete'
    END AS state,
    total_records,
    landed,
    rejected,
    outside_window,
    open_calls
FROM (SELECT unnest(generate_series($from_day::DATE, $to_day::DATE, INTERVAL 1 DAY))::DATE AS day)
CROSS JOIN (SELECT DISTINCT model_id FROM call_loads)
LEFT JOIN call_loads AS loads USING (day, model_id)
LEFT JOIN agents USING (model_id)
ORDER BY day, agent
