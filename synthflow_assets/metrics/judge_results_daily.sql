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
-- Answers are counted as they were told, because there are few different ones, and changing a text takes longer than
-- counting it. `polite_reason` is a text that explains `polite`. Such texts are most of what the judge says, so they
-- go first.
alike AS (
    SELECT day, model_id, judge_check, told, count(*) AS calls
    FROM told
    WHERE strlen(told) < 9 OR NOT ends_with(judge_check, '_reason')
    GROUP BY day, model_id, judge_check, told
),
-- What is no answer becomes NULL: a condition on it DuckDB would apply to every text before it counts.
answers AS (
    SELECT
        day,
        model_id,
        judge_check,
        calls,
        CASE
            WHEN NOT ends_with(judge_check, '_reason') OR lower(told) IN ('true', 'partial', 'false')
                THEN nullif(lower(trim(told)), '')
        END AS answer
    FROM alike
),
counted AS (
    SELECT
        day,
        model_id,
        judge_check,
        coalesce(sum(calls) FILTER (answer IS NOT NULL), 0)::BIGINT AS judged_calls,
        coalesce(sum(calls) FILTER (answer = 'true'), 0)::BIGINT AS passes,
        coalesce(sum(calls) FILTER (answer = 'partial'), 0)::BIGINT AS partials,
        coalesce(sum(calls) FILTER (answer = 'false'), 0)::BIGINT AS fails
    FROM answers
    GROUP BY day, model_id, judge_check
    HAVING judged_calls > 0
)
SELECT
    *,
    judged_calls - passes - partials - fails AS other_answers,
    passes / nullif(passes + partials + fails, 0) AS pass_share
FROM counted
