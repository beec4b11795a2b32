-- Calls by the reason why the line was cut.
SELECT
    day,
    model_id,
    coalesce(nullif(trim(telephony_disconnect_reason), ''), $not_reported) AS disconnect_reason,
    count(*) AS calls,
    count(*) / sum(count(*)) OVER (PARTITION BY day, model_id) AS share,
    avg(duration_seconds) AS mean_duration_seconds
FROM calls
WHERE list_contains($days::DATE[], day)
GROUP BY day, model_id, disconnect_reason
