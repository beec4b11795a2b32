-- From the histogram: the daily means cannot be averaged.
SELECT calls, connected_calls, total_duration_seconds / 60 AS minutes, mean_duration_seconds
FROM duration_summary($from_day, $to_day)
