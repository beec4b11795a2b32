-- The judge's verdicts. It answers in texts: `true` and `True` are passes; what is no verdict at all is counted apart.
WITH told AS (
    SELECT
        day,
        model_id,
        unnest(json_keys(judge_results)) AS judge_check,
        unnest(json_extract_string(judge_results, '$.*')) AS told
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]))
),
-- `polite_reason` is a text that explains `polite`. Such texts are most of what the judge says, so they go first.
answers AS (
    SELECT day, model_id, judge_check, lower(trim(told)) AS answer
    FROM told
    WHERE NOT ends_with(judge_check, '_reason') OR (strlen(told) < 9 AND lower(told) IN ('true', 'partial', 'false'))
),
counted AS (
    SELECT
        day,
        model_id,
        judge_check,
        count(*) AS judged_calls,
        count(*) FILTER (answer = 'true') AS passes,
        count(*) FILTER (answer = 'partial') AS partials,
        count(*) FILTER (answer = 'false') AS fails
    FROM answers
    WHERE answer <> ''
    GROUP BY day, model_id, judge_check
)
SELECT
    *,
    judged_calls - passes - partials - fails AS other_answers,
    passes / nullif(passes + partials + fails, 0) AS pass_share
FROM counted
