-- Calls by each value of several dimensions: every call is in one row of each dimension.
WITH dimensions AS (
    FROM (
        SELECT
            day,
            model_id,
            call_outcome AS outcome,
            call_status,
            end_call_reason,
            telephony_hangup,
            telephony_error_code,
            type_of_call,
            assistant_version,
            campaign_type
        FROM calls
        WHERE list_contains($days::DATE[], day)
    )
    UNPIVOT INCLUDE NULLS (value FOR dimension IN (* EXCLUDE (day, model_id)))
)
SELECT
    day,
    model_id,
    dimension,
    coalesce(nullif(trim(value), ''), $not_reported) AS value,
    count(*) AS calls,
    count(*) / sum(count(*)) OVER (PARTITION BY day, model_id, dimension) AS share
FROM dimensions
-- By position: in GROUP BY, `value` would mean the untrimmed one.
GROUP BY 1, 2, 3, 4
