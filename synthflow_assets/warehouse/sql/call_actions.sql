-- The typed actions, and their records beside them if the JSON was kept: both lists have the same order.
WITH kept AS (
    SELECT
        day,
        model_id,
        call_id,
        actions,
        list_filter(
            CASE json_type(executed_actions)
                WHEN 'ARRAY' THEN json_extract(executed_actions, '$[*]')
                ELSE json_extract(executed_actions, '$.*')
            END,
            lambda record: coalesce(
                record ->> '$.name', record ->> '$.action_type', record ->> '$.error_message', record ->> '$.return_value'
            ) IS NOT NULL
        ) AS records
    FROM calls
),
numbered AS (
    SELECT day, model_id, call_id, unnest(actions) AS action, generate_subscripts(actions, 1) AS number, records
    FROM kept
),
-- A text that contains JSON becomes that JSON; any other text stays a JSON string; JSON null becomes NULL.
unwrapped AS (
    SELECT
        *,
        records[number] AS record,
        [
            nullif(
                CASE WHEN json_type(v) = 'VARCHAR' AND json_valid(v ->> '$') THEN (v ->> '$')::JSON ELSE v END, 'null'
            )
            FOR v IN [
                record -> '$.return_value', record -> '$.parameters_from_llm', record -> '$.parameters_hard_coded'
            ]
        ] AS inside
    FROM numbered
)
SELECT
    day,
    model_id,
    call_id,
    action.name,
    action.action_type,
    action."at" AS executed_at,
    action.failed,
    action.status,
    action.failed_reason,
    action.human_connected_at,
    inside[1] AS return_value,
    record ->> '$.return_value_status' AS return_value_status,
    inside[2] AS parameters_from_llm,
    inside[3] AS parameters_hard_coded,
    record AS action
FROM unwrapped
