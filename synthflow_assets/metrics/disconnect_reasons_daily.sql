-- Why the line was cut, over all calls of each agent and day. An empty text is no reason either.
-- Calls are counted by the text as it came, because there are few different ones, and trimming takes longer than counting.
WITH counted AS (
    SELECT
        day,
        model_id,
        telephony_disconnect_reason,
        count(*) AS calls,
        count(duration_seconds) AS measured_calls,
        sum(duration_seconds) AS total_duration_seconds
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]))
    GROUP BY day, model_id, telephony_disconnect_reason
)
SELECT
    day,
    model_id,
    coalesce(nullif(trim(telephony_disconnect_reason), ''), 'not_reported') AS disconnect_reason,
    sum(calls)::BIGINT AS calls,
    sum(calls) / sum(sum(calls)) OVER (PARTITION BY day, model_id) AS share,
    sum(total_duration_seconds) / nullif(sum(measured_calls), 0) AS mean_duration_seconds
FROM counted
GROUP BY 1, 2, 3
