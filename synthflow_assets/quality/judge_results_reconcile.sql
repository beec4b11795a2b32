WITH judged AS (
    SELECT
        day,
        model_id,
        max(judged_calls) AS most,
        bool_and(judged_calls = passes + partials + fails + other_answers) AS adds_up,
        bool_and(coalesce(pass_share BETWEEN 0 AND 1, passes + partials + fails = 0)) AS has_shares
    FROM judge_results_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
),
stored AS (
    SELECT day, model_id, count(*) AS calls
    FROM calls
    WHERE ($days IS NULL OR list_contains($days::DATE[], day)) AND len(json_keys(judge_results)) > 0
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN judged.day IS NULL
            THEN format('{} calls have verdicts, none is counted; materialize judge_results_daily', calls)
        WHEN most > coalesce(calls, 0)
            THEN format('a check has judged {} calls, but {} have verdicts', most, coalesce(calls, 0))
        ELSE 'the answers to a check do not add up to the calls that it judged'
    END AS problem
FROM judged
FULL JOIN stored USING (day, model_id)
WHERE judged.day IS NULL OR most > coalesce(calls, 0) OR NOT adds_up OR NOT has_shares
ORDER BY ALL
