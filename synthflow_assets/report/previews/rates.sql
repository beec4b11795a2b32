-- Rates over all agents.
WITH sums AS (
    SELECT
        day,
        sum(connected_calls) / nullif(sum(calls), 0) AS connected,
        sum(voicemail_calls) / nullif(sum(calls), 0) AS voicemail,
        sum(short_calls) / nullif(sum(connected_calls), 0) AS short
    FROM call_rates_daily
    WHERE day BETWEEN $first AND $last
    GROUP BY day
)
UNPIVOT sums ON connected, voicemail, short INTO NAME name VALUE value
ORDER BY day, name
