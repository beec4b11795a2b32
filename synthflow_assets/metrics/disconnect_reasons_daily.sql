-- Why the line was cut, over all calls of each agent and day. An empty text is no reason either.
SELECT
    day,
    model_id,
    coalesce(nullif(trim(telephony_disconnect_reason), ''), 'not_reported') AS disconnect_reason,
    count(*) AS calls,
    count(*) / sum(count(*)) OVER (PARTITION BY day, model_id) AS share,
    avg(duration_seconds) AS mean_duration_seconds
FROM calls
WHERE day IN (SELECT unnest($days::DATE[]))
GROUP BY day, model_id, disconnect_reason
