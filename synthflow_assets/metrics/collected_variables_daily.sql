-- What agents were to collect, and did. Two shapes of the JSON come: agent -> variable -> {value, collected}, and
-- variable -> {value, collected}. What tells them apart is whether `collected`, or else `value`, is an object.
-- Calls with the very same JSON are looked at once: there are many, as most variables are yes or no, or were not told.
WITH alike AS (
    SELECT day, model_id, collected_variables, count(*) AS calls
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[])) AND json_type(collected_variables) = 'OBJECT'
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
