-- What agents were to collect, and did. Two shapes of the JSON come: agent -> variable -> {value, collected}, and
-- variable -> {value, collected}. What tells them apart is whether `collected`, or else `value`, is an object.
-- What was answered differs from call to call, but only whether it was counts. So each answer in text or number becomes
-- an empty text, and of the few kinds of JSON that are left each is looked at once.
WITH answered AS (
    SELECT day, model_id, collected_variables, count(*) AS calls
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[])) AND collected_variables IS NOT NULL
    GROUP BY day, model_id, collected_variables
),
alike AS (
    SELECT day, model_id, collected_variables, sum(calls) AS calls
    FROM (
        SELECT
            * REPLACE (
                regexp_replace(
                    collected_variables::VARCHAR, '"value": ?("[^"\\]*"|[-+.0-9eE]+)', '"value":""', 'g'
                ) AS collected_variables
            )
        FROM answered
    )
    GROUP BY day, model_id, collected_variables
),
entries AS (
    SELECT
        *,
        unnest(json_keys(collected_variables)) AS name,
        unnest(json_extract(collected_variables, '$.*')) AS entry
    FROM alike
),
told_apart AS (
    SELECT
        *,
        coalesce(json_type(entry, '$.collected'), json_type(entry, '$.value'), 'OBJECT') <> 'OBJECT' AS is_variable
    FROM entries
    WHERE json_type(entry) = 'OBJECT'
),
variables AS (
    SELECT day, model_id, collected_variables, calls, name AS variable, entry FROM told_apart WHERE is_variable
    UNION ALL
    SELECT
        day, model_id, collected_variables, calls, unnest(json_keys(entry)), unnest(json_extract(entry, '$.*'))
    FROM told_apart
    WHERE NOT is_variable
),
-- Several agents of a call may ask for the same.
by_call AS (
    SELECT
        day,
        model_id,
        variable,
        any_value(calls) AS calls,
        bool_or(coalesce(lower(entry ->> 'collected') = 'true', entry ->> 'value' IS NOT NULL)) AS is_collected
    FROM variables
    GROUP BY day, model_id, collected_variables, variable
)
SELECT
    day,
    model_id,
    variable,
    sum(calls)::BIGINT AS asked,
    coalesce(sum(calls) FILTER (is_collected), 0)::BIGINT AS collected,
    coalesce(sum(calls) FILTER (is_collected), 0) / sum(calls) AS completion_rate
FROM by_call
GROUP BY day, model_id, variable
