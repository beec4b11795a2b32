-- Verdicts of the judge, by check. A verdict that is a number is a score.
WITH verdicts AS (
    SELECT day, model_id, unnest(map_entries(judge_verdicts), max_depth := 2)
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
counts AS (
    SELECT
        day,
        model_id,
        key AS judge_check,
        count(*) FILTER (value = 'true') AS passes,
        count(*) FILTER (value = 'partial') AS partials,
        count(*) FILTER (value = 'false') AS fails,
        count(*) FILTER (value = 'not_applicable') AS not_applicable,
        count(*) FILTER (value = 'other') AS other_answers,
        count(TRY_CAST(value AS DOUBLE)) AS scored_calls,
        avg(TRY_CAST(value AS DOUBLE)) AS mean_score
    FROM verdicts
    GROUP BY day, model_id, judge_check
)
SELECT
    *,
    passes + partials + fails AS judged_calls,
    passes / nullif(judged_calls, 0) AS pass_share
FROM counts
