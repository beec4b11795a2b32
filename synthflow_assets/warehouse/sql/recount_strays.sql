-- Strays count as fetched and landed on their own day, so that call_loads agrees with calls.
UPDATE call_loads
SET
    fetched = call_loads.fetched + stored.calls - call_loads.landed,
    landed = stored.calls,
    loaded_at = $loaded_at::TIMESTAMPTZ  -- so that `no_gaps` finds the metrics of that day
FROM (
    SELECT day, model_id, count(*) AS calls
    FROM calls
    WHERE (day, model_id) IN (
        SELECT (day, model_id)
        FROM calls
        WHERE listed_day IS NOT NULL AND day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    )
    GROUP BY day, model_id
) AS stored
WHERE call_loads.day = stored.day AND call_loads.model_id = stored.model_id AND call_loads.landed <> stored.calls
