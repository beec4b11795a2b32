SELECT
    day,
    model_id,
    format(
        '{} actions counted, {} of them failed, but the calls have {}', coalesce(executed, 0), coalesce(failed, 0),
        coalesce(actions, 0)
    ) AS problem
FROM (
    SELECT day, model_id, sum(executed)::BIGINT AS executed, sum(failed)::BIGINT AS failed, bool_or(failed > executed) AS too_many
    FROM actions_daily
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
)
FULL JOIN (
    SELECT day, model_id, sum(len(json_keys(executed_actions)))::BIGINT AS actions
    FROM calls
    WHERE $days IS NULL OR list_contains($days::DATE[], day)
    GROUP BY day, model_id
) USING (day, model_id)
WHERE coalesce(executed, 0) <> coalesce(actions, 0) OR too_many
ORDER BY ALL
