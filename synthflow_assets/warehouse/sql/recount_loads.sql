-- After `rejects --retry`: update the counts of landed and rejected records, and of those whose call had landed already.
UPDATE call_loads
SET
    landed = call_loads.landed + moved.landed,
    rejected = call_loads.rejected - moved.landed - moved.known,
    outside_window = call_loads.outside_window + moved.known,
    open_calls = call_loads.open_calls + moved.open_calls,
    settled = call_loads.settled AND moved.calls_to_end = 0
FROM (
    SELECT
        day,
        model_id,
        count(*) FILTER (outcome = 'landed') AS landed,
        count(*) FILTER (outcome = 'known' AND NOT is_stored_here) AS known,
        count(*) FILTER (outcome = 'landed' AND {is_open}) AS open_calls,
        count(*) FILTER (
            outcome = 'landed' AND {is_open} AND start_time > now() - to_days($final_after_days::INTEGER)
        ) AS calls_to_end
    FROM temp.typed
    GROUP BY day, model_id
) AS moved
WHERE call_loads.day = moved.day AND call_loads.model_id = moved.model_id
