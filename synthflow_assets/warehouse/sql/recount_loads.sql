-- After another try of rejected records: what landed, what is still rejected, and what belongs to another day.
UPDATE call_loads
SET
    landed = call_loads.landed + moved.landed,
    rejected = call_loads.rejected - moved.landed - moved.outside,
    outside_window = call_loads.outside_window + moved.outside,
    open_calls = call_loads.open_calls + moved.open_calls,
    settled = call_loads.settled AND moved.open_calls = 0
FROM (
    SELECT
        day,
        model_id,
        count(*) FILTER (is_new) AS landed,
        count(*) FILTER (NOT is_new) AS outside,
        count(*) FILTER (is_new AND is_open) AS open_calls
    FROM temp.typed
    WHERE reason IS NULL
    GROUP BY day, model_id
) AS moved
WHERE call_loads.day = moved.day AND call_loads.model_id = moved.model_id
