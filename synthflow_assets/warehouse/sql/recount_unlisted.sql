-- Calls that stay although they are not listed count as fetched and landed, so that call_loads agrees with calls.
UPDATE call_loads
SET
    fetched = call_loads.fetched + stayed.calls,
    landed = call_loads.landed + stayed.calls,
    open_calls = call_loads.open_calls + stayed.open_calls,
    settled = call_loads.settled AND NOT stayed.may_end
FROM (
    SELECT
        day,
        model_id,
        count(*) AS calls,
        count(*) FILTER ({is_open}) AS open_calls,
        coalesce(max(start_time) FILTER ({is_open}) > $final_before::TIMESTAMPTZ, false) AS may_end
    FROM temp.unlisted
    GROUP BY day, model_id
) AS stayed
WHERE call_loads.day = stayed.day AND call_loads.model_id = stayed.model_id
