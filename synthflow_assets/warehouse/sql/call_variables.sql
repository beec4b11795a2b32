-- The typed variables, and the value of each if the JSON was kept. Several agents of a call may ask for the same
-- variable: then the value is from one that collected it.
WITH asked AS (
    SELECT day, model_id, call_id, unnest(variables, max_depth := 2)
    FROM calls
),
-- Variables are the fields of collected_variables, or those of the agents in it.
entries AS (
    SELECT
        day,
        call_id,
        unnest(json_keys(collected_variables)) AS name,
        unnest(json_extract(collected_variables, '$.*')) AS entry
    FROM calls
    WHERE json_type(collected_variables) = 'OBJECT'
),
extracted AS (
    SELECT
        day,
        call_id,
        regexp_replace(unnest(json_keys(return_value)), '^(extract_info|info_extractor)_', '') AS name,
        unnest(json_extract(return_value, '$.*')) AS value
    FROM call_actions
    WHERE action_type = 'extract_info_action_type' AND json_type(return_value) = 'OBJECT'
),
kept AS (
    SELECT day, call_id, 'variable' AS source, name, entry -> '$.value' AS value
    FROM entries
    UNION ALL
    SELECT day, call_id, 'variable', unnest(json_keys(entry)), unnest(json_extract(entry, '$.*')) -> '$.value'
    FROM entries
    WHERE json_type(entry) = 'OBJECT'
    UNION ALL
    SELECT day, call_id, 'extractor', name, value
    FROM extracted
)
SELECT
    day,
    model_id,
    call_id,
    source,
    name AS variable,
    bool_or(collected) AS collected,
    any_value(nullif(value, 'null')) AS value
FROM asked
LEFT JOIN kept USING (day, call_id, source, name)
GROUP BY day, model_id, call_id, source, name
