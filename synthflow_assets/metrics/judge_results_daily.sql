-- The judge's verdicts. It answers in texts: `true` and `True` are passes; what is no verdict at all is counted apart.
WITH answers AS (
    SELECT
        day,
        model_id,
        json_keys(judge_results) AS checks,
        unnest(checks) AS judge_check,
        lower(trim(unnest(json_extract_string(judge_results, '$.*')))) AS answer
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[])) AND json_type(judge_results) = 'OBJECT'
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
    -- `polite_reason` explains `polite`, and is no check of its own.
    WHERE answer <> '' AND NOT (ends_with(judge_check, '_reason') AND list_contains(checks, judge_check[:-8]))
    GROUP BY day, model_id, judge_check
)
SELECT
    *,
    judged_calls - passes - partials - fails AS other_answers,
    passes / nullif(passes + partials + fails, 0) AS pass_share
FROM counted
