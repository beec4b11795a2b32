-- A text that contains JSON becomes that JSON; any other text stays a JSON string; JSON null becomes NULL.
WITH actions AS (
    SELECT day, model_id, call_id, unnest(map_entries(CAST(executed_actions AS MAP(VARCHAR, JSON)))) AS entry
    FROM calls
    WHERE json_type(executed_actions) = 'OBJECT'
),
unwrapped AS (
    SELECT
        *,
        list_transform(
            [
                entry.value -> 'return_value',
                entry.value -> 'parameters_hard_coded',
                entry.value -> 'parameters_from_speech'
            ],
            lambda v: nullif(
                CASE WHEN json_type(v) = 'VARCHAR' AND json_valid(v ->> '$') THEN (v ->> '$')::JSON ELSE v END, 'null'
            )
        ) AS inside
    FROM actions
)
SELECT
    day,
    model_id,
    call_id,
    entry.key AS action_id,
    entry.value ->> 'name' AS name,
    entry.value ->> 'action_type' AS action_type,
    inside[1] AS return_value,
    inside[2] AS parameters_hard_coded,
    inside[3] AS parameters_from_speech,
    entry.value AS action
FROM unwrapped
