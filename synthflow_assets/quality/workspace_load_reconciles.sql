-- Held against the load of the agents, where that is computed: all but the peaks adds up.
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
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, hour_start
),
workspace_load AS (
    FROM workspace_load_hourly
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
),
days AS (
    SELECT day, sum(calls_started) AS started
    FROM workspace_load
    GROUP BY day
),
landed_days AS (
    SELECT day, sum(landed) AS landed
    FROM call_loads
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day
)
SELECT
    day,
    NULL::VARCHAR AS model_id,
    CASE
        WHEN days.day IS NULL THEN 'landed, but not computed'
        ELSE format('{} calls started, {} landed', started, coalesce(landed, 0))
    END AS problem
FROM days
FULL JOIN landed_days USING (day)
WHERE started IS DISTINCT FROM landed
UNION ALL
SELECT day, NULL, format('{} hours differ from those of call_load_hourly', count(*))
FROM workspace_load
JOIN agents_load USING (day, hour_start)
WHERE
    calls_started <> started
    OR calls_in_progress <> in_progress
    OR abs(agent_minutes - minutes) > 0.001
    OR peak_concurrent_calls NOT BETWEEN highest_peak AND sum_of_peaks
GROUP BY day
ORDER BY ALL
