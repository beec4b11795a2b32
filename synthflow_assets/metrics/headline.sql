-- Of the calls themselves: means of days would have to be weighted, and by connected calls that have a duration.
SELECT calls, connected_calls, total_duration_seconds / 60 AS minutes, mean_duration_seconds
FROM duration_summary($from_day, $to_day)
