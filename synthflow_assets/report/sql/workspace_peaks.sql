-- The most concurrent calls of the workspace on each day, and the first local hour in which they occurred.
SELECT
    day - $first AS day_number,
    max(peak_concurrent_calls) AS peak,
    arg_max(local_hour, peak_concurrent_calls * 24 - local_hour) AS hour
FROM workspace_load_hourly
WHERE day BETWEEN $first AND $last
GROUP BY day
