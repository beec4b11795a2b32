-- The day after a fetched day is checked too, because calls may run into it.
WITH agents_load AS (
    SELECT
        day,
        hour_start,
        sum(calls_started) AS started,
        sum(calls_in_progress) AS in_progress,
        sum(agent_minutes) AS minutes,
        max(peak_concurrent_calls) AS highest_peak,
        sum(peak_concurrent_calls) AS sum_of_peaks
    FROM call_load_hourly
    WHERE $days IS NULL OR list_has_any($days::DATE[], [day - 1, day])
    GROUP BY day, hour_start
)
SELECT day, NULL::VARCHAR AS model_id, format('{} hours differ from those of call_load_hourly', count(*)) AS problem
FROM workspace_load_hourly
JOIN agents_load USING (day, hour_start)
WHERE
    calls_started <> started
    OR calls_in_progress <> in_progress
    OR abs(agent_minutes - minutes) > 0.001
    OR peak_concurrent_calls NOT BETWEEN highest_peak AND sum_of_peaks
GROUP BY day
ORDER BY ALL
