WITH judged AS (
    SELECT
        day,
        model_id,
        max(judged_calls) AS most,
        count(*) AS checks,
        count(*) FILTER (
            judged_calls <> passes + partials + fails + other_answers
            OR NOT coalesce(pass_share BETWEEN 0 AND 1, passes + partials + fails = 0)
        ) AS odd
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
            THEN format('{} calls have verdicts, none is counted', calls)
        WHEN most > coalesce(calls, 0)
            THEN format('a check has judged {} calls, but {} have verdicts', most, coalesce(calls, 0))
        ELSE format('the answers to {} of {} checks do not add up to the calls that they judged, or have no share', odd, checks)
    END AS problem
FROM judged
FULL JOIN stored USING (day, model_id)
WHERE judged.day IS NULL OR most > coalesce(calls, 0) OR odd > 0
ORDER BY ALL
