-- Calls by each of four fields. They are counted by all four at once, which leaves few rows, and then by each.
WITH counted AS (
    SELECT
        day,
        model_id,
        [
            {dimension: 'call_status', value: call_status},
            {dimension: 'end_call_reason', value: end_call_reason},
            {dimension: 'telephony_hangup', value: telephony_hangup},
            {dimension: 'type_of_call', value: type_of_call}
        ] AS outcomes,
        count(*) AS calls
    FROM calls
    WHERE day IN (SELECT unnest($days::DATE[]))
    GROUP BY day, model_id, call_status, end_call_reason, telephony_hangup, type_of_call
),
outcomes AS (
    SELECT day, model_id, unnest(outcomes, max_depth := 2), calls
    FROM counted
)
SELECT
    day,
    model_id,
    dimension,
    coalesce(nullif(trim(value), ''), 'not_reported') AS value,
    sum(calls)::BIGINT AS calls,
    sum(calls) / sum(sum(calls)) OVER (PARTITION BY day, model_id, dimension) AS share
FROM outcomes
GROUP BY 1, 2, 3, 4
