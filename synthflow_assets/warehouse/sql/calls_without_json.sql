-- Completed calls of days and agents without any JSON or transcript, because SYNTHFLOW_PII was not `keep`.
SELECT coalesce(sum(calls), 0)::BIGINT AS calls, min(day) AS first_day, max(day) AS last_day
FROM (
    SELECT
        day,
        count(*) AS calls,
        count(judge_results) + count(executed_actions) + count(collected_variables) + count(transcript) AS kept_texts
    FROM {older}
    WHERE lower(trim(call_status)) = 'completed'
    GROUP BY day, model_id
)
WHERE kept_texts = 0
