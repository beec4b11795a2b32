-- In the partitions where the moved calls had landed before, count them as outside of the window.
UPDATE call_loads
SET
    landed = call_loads.landed - gone.calls,
    outside_window = call_loads.outside_window + gone.calls,
    loaded_at = $loaded_at::TIMESTAMPTZ  -- so that `no_gaps` finds the metrics of that day
FROM (SELECT day, model_id, count(*) AS calls FROM temp.moved WHERE NOT stays GROUP BY day, model_id) AS gone
WHERE call_loads.day = gone.day AND call_loads.model_id = gone.model_id
