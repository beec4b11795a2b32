WITH counted AS (
    SELECT
        day,
        model_id,
        max(asked) AS most,
        count(*) AS variables,
        count(*) FILTER (NOT (collected BETWEEN 0 AND asked AND abs(completion_rate - collected / asked) < 1e-9)) AS odd
    FROM collected_variables_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
),
stored AS (
    SELECT
        day,
        model_id,
        count(*) AS calls,
        count(*) FILTER (contains(collected_variables::VARCHAR, '"collected"')) AS with_variables
    FROM calls
    WHERE ($days IS NULL OR list_contains($days::DATE[], day)) AND len(json_keys(collected_variables)) > 0
    GROUP BY day, model_id
)
SELECT
    day,
    model_id,
    CASE
        WHEN counted.day IS NULL
            THEN format('{} calls have variables, none is counted', with_variables)
        WHEN most > coalesce(calls, 0)
            THEN format('a variable was asked for in {} calls, but {} have any', most, coalesce(calls, 0))
        ELSE format('{} of {} variables were collected more often than asked for, or their rate is another', odd, variables)
    END AS problem
FROM counted
FULL JOIN stored USING (day, model_id)
WHERE (counted.day IS NULL AND with_variables > 0) OR most > coalesce(calls, 0) OR odd > 0
ORDER BY ALL
