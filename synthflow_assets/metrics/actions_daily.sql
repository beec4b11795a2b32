-- The actions that ran in calls. What an action returned is JSON, often inside a text.
WITH actions AS (
    SELECT day, model_id, unnest(json_extract(executed_actions, '$.*')) AS action
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[])) AND json_type(executed_actions) = 'OBJECT'
),
returned AS (
    SELECT
        day,
        model_id,
        coalesce(nullif(trim(action ->> 'action_type'), ''), 'not_reported') AS action_type,
        action ->> 'return_value' AS text,
        CASE WHEN json_valid(text) THEN text::JSON END AS return_value
    FROM actions
)
SELECT
    day,
    model_id,
    action_type,
    count(*) AS executed,
    count(*) FILTER (
        lower(return_value ->> 'status') IN ('error', 'failed', 'failure')
        OR lower(return_value ->> 'success') = 'false'
        OR coalesce(return_value ->> 'error', '') NOT IN ('', 'false')
    ) AS failed
FROM returned
GROUP BY day, model_id, action_type
