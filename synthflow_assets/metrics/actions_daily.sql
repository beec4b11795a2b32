-- The actions that ran in calls. What an action returned is JSON, often inside a text.
WITH actions AS (
    SELECT
        day,
        model_id,
        from_json(
            unnest(json_extract(executed_actions, '$.*')), '{"action_type": "VARCHAR", "return_value": "VARCHAR"}'
        ) AS action
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[])) AND json_type(executed_actions) = 'OBJECT'
),
-- What returned the very same is looked at once.
alike AS (
    SELECT day, model_id, action.action_type AS action_type, action.return_value AS text, count(*) AS actions
    FROM actions
    GROUP BY ALL
),
returned AS (
    SELECT
        day,
        model_id,
        coalesce(nullif(trim(action_type), ''), $not_reported) AS action_type,
        actions,
        CASE WHEN json_valid(text) THEN text::JSON END AS return_value
    FROM alike
)
SELECT
    day,
    model_id,
    returned.action_type,
    sum(actions)::BIGINT AS executed,
    coalesce(
        sum(actions) FILTER (
            lower(return_value ->> 'status') IN ('error', 'failed', 'failure')
            OR lower(return_value ->> 'success') = 'false'
            OR coalesce(return_value ->> 'error', '') NOT IN ('', 'false')
        ),
        0
    )::BIGINT AS failed
FROM returned
GROUP BY day, model_id, returned.action_type
