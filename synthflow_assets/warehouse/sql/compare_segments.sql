-- Compare the rates of two values of a segment, such as two versions of an agent. The interval of the difference is
-- Newcombe's (Statistics in Medicine 17, 1998, method 10): it combines the Wilson intervals of both rates. It holds for
-- few calls, and for rates near 0 and 1, where the usual interval does not.
WITH sums AS (
    SELECT
        value,
        sum(calls)::BIGINT AS calls,
        sum(connected_calls)::BIGINT AS connected_calls,
        sum(person_reached_calls)::BIGINT AS person_reached_calls,
        sum(goal_judged_calls)::BIGINT AS goal_judged_calls,
        sum(goal_passes)::BIGINT AS goal_passes,
        sum(transfer_success_calls)::BIGINT AS transfer_success_calls,
        sum(transfer_failed_calls)::BIGINT AS transfer_failed_calls
    FROM {schema}.call_segments_daily
    WHERE day BETWEEN from_day::DATE AND to_day::DATE AND segment = in_segment AND condition
    GROUP BY value
),
rates AS (
    SELECT value, unnest([
        {{rate: 'connection_rate', part: connected_calls, whole: calls}},
        {{rate: 'person_reached_rate', part: person_reached_calls, whole: calls}},
        {{rate: 'goal_pass_share', part: goal_passes, whole: goal_judged_calls}},
        {{
            rate: 'transfer_success_rate',
            part: transfer_success_calls,
            whole: transfer_success_calls + transfer_failed_calls
        }}
    ], max_depth := 2)
    FROM sums
),
-- Wilson's interval. 1.959963984540054 is the 97.5th percentile of the normal distribution.
wilson AS (
    SELECT
        *,
        part / whole AS share,
        1.959963984540054::DOUBLE AS z,
        (share + z * z / (2 * whole)) / (1 + z * z / whole) AS middle,
        z * sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole) AS half,
        middle - half AS low,
        middle + half AS high
    FROM rates
    WHERE whole > 0
)
SELECT
    rates.rate,
    coalesce(a.part, 0) AS first_calls,
    coalesce(a.whole, 0) AS first_of,
    a.share AS first_rate,
    coalesce(b.part, 0) AS second_calls,
    coalesce(b.whole, 0) AS second_of,
    b.share AS second_rate,
    b.share - a.share AS difference,
    difference - sqrt(pow(b.share - b.low, 2) + pow(a.high - a.share, 2)) AS difference_low,
    difference + sqrt(pow(b.high - b.share, 2) + pow(a.share - a.low, 2)) AS difference_high,
    difference_low > 0 OR difference_high < 0 AS is_conclusive
FROM (
    SELECT unnest(['connection_rate', 'person_reached_rate', 'goal_pass_share', 'transfer_success_rate']) AS rate
) AS rates
LEFT JOIN wilson AS a ON a.rate = rates.rate AND a.value = first_value::VARCHAR
LEFT JOIN wilson AS b ON b.rate = rates.rate AND b.value = second_value::VARCHAR
