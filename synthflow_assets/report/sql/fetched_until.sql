-- Until when the day after the span was fetched for every agent, if it was not over then.
SELECT min(fetched_until) AS fetched_until
FROM call_loads
WHERE day = $today::DATE
