-- Transfers to a human, by what came of them. Without both times, or if the action was recorded after the human answered,
-- the seconds are unknown: actions that run before the call may have a time that is days off.
WITH executed AS (
    SELECT day, model_id, call_id, unnest(actions, max_depth := 2)
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
transfers AS (
    SELECT
        *,
        -- Whole numbers: seconds since 1970 are only exact to some 100 ns, and sums of fractions depend on their order.
        CASE
            WHEN human_connected_at >= "at" THEN epoch_us(human_connected_at) - epoch_us("at")
        END AS microseconds_to_human
    FROM executed
    WHERE contains(action_type, 'transfer')
)
SELECT
    day,
    model_id,
    coalesce(status, $not_reported) AS outcome,
    coalesce(failed_reason, $not_reported) AS failed_reason,
    count(*) AS transfers,
    count(DISTINCT call_id) AS calls,
    sum(microseconds_to_human) / (count(microseconds_to_human) * 1000000) AS mean_seconds_to_human,
    quantile_cont(microseconds_to_human, 0.5) / 1000000 AS median_seconds_to_human
FROM transfers
GROUP BY 1, 2, 3, 4
