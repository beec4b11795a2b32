-- Calls by the values of several segments: every call is in one row of each segment.
WITH flags AS (
    SELECT
        day,
        model_id,
        assistant_version,
        campaign_type,
        agent_phone_number,
        deployment_type,
        coalesce(list_contains($connected_statuses::VARCHAR[], trim(call_status)), false) AS is_connected,
        call_outcome = 'person_reached' AS is_person_reached,
        CASE WHEN is_connected THEN duration_seconds END AS connected_seconds,
        judge_verdicts['goal'] AS goal,
        list_filter(actions, lambda action: contains(action.action_type, 'transfer')) AS transfers,
        coalesce(len(transfers) > 0, false) AS is_transferred,
        -- As in call_rates_daily: a transfer without a status neither succeeded nor failed, as far as is known.
        is_transferred
            AND len(list_filter(transfers, lambda one: NOT one.failed AND one.status IS NOT NULL)) > 0 AS has_success,
        is_transferred AND NOT has_success AND len(list_filter(transfers, lambda one: one.failed)) > 0 AS has_failure
    FROM calls
    WHERE list_contains($days::DATE[], day)
),
segments AS (
    FROM flags
    UNPIVOT INCLUDE NULLS (
        value FOR segment IN (assistant_version, campaign_type, agent_phone_number, deployment_type)
    )
),
counts AS (
    SELECT
        day,
        model_id,
        segment,
        coalesce(nullif(trim(value), ''), $not_reported) AS value,
        count(*) AS calls,
        count(*) FILTER (is_connected) AS connected_calls,
        count(*) FILTER (is_person_reached) AS person_reached_calls,
        coalesce(sum(connected_seconds), 0)::BIGINT AS total_duration_seconds,
        quantile_cont(connected_seconds, 0.5) AS median_duration_seconds,
        count(*) FILTER (goal IN ('true', 'partial', 'false')) AS goal_judged_calls,
        count(*) FILTER (goal = 'true') AS goal_passes,
        count(*) FILTER (is_transferred) AS transferred_calls,
        count(*) FILTER (has_success) AS transfer_success_calls,
        count(*) FILTER (has_failure) AS transfer_failed_calls
    FROM segments
    -- By position: in GROUP BY, `value` would mean the untrimmed one.
    GROUP BY 1, 2, 3, 4
)
SELECT
    *,
    connected_calls / calls AS connection_rate,
    person_reached_calls / calls AS person_reached_rate,
    goal_passes / nullif(goal_judged_calls, 0) AS goal_pass_share,
    transfer_success_calls / nullif(transfer_success_calls + transfer_failed_calls, 0) AS transfer_success_rate
FROM counts
