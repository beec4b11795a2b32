-- The most calls at once on each day, over all agents, and the first local hour of it.
SELECT
    day - $first AS day_number,
    max(peak_concurrent_calls) AS peak,
    arg_max(local_hour, peak_concurrent_calls * 24 - local_hour) AS hour
FROM workspace_load_hourly
WHERE day BETWEEN $first AND $last
GROUP BY day
