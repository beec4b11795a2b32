-- Mean ringing time of all calls and mean talk time of connected calls in minutes, over all agents.
WITH means AS (
    SELECT
        day,
        sum(mean_ringing_seconds * ringing_calls) / nullif(sum(ringing_calls), 0) / 60 AS ringing,
        sum(total_talk_seconds) / nullif(sum(talk_calls), 0) / 60 AS talk
    FROM telephony_timing_daily
    WHERE day BETWEEN $first AND $last
    GROUP BY day
)
UNPIVOT means ON ringing, talk INTO NAME name VALUE value
ORDER BY day, name
