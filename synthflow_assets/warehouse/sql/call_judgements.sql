-- The typed verdicts, and the explanation of each if the JSON was kept.
WITH verdicts AS (
    SELECT day, model_id, call_id, judge_results, unnest(map_entries(judge_verdicts), max_depth := 2)
    FROM calls
),
-- A JSON pointer, because a path fails if the name of a check contains a quotation mark.
pointed AS (
    SELECT *, '/' || replace(replace(key, '~', '~0'), '/', '~1') AS pointer
    FROM verdicts
)
SELECT
    day,
    model_id,
    call_id,
    key AS judge_check,
    value AS verdict,
    coalesce(
        nullif(trim(judge_results ->> (pointer || '_feedback')), ''),
        nullif(trim(judge_results ->> (pointer || '_reason')), '')
    ) AS feedback
FROM pointed
