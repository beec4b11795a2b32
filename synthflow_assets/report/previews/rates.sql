-- Rates over all agents. Transfers are counted in calls whose transfer has a known result.
WITH sums AS (
    SELECT
        day,
        sum(person_reached_calls) / nullif(sum(calls), 0) AS "person reached",
        sum(transfer_failed_calls) / nullif(sum(transfer_success_calls + transfer_failed_calls), 0) AS "transfers failed",
        sum(short_calls) / nullif(sum(connected_calls), 0) AS "short calls"
    FROM call_rates_daily
    WHERE day BETWEEN $first AND $last
    GROUP BY day
)
UNPIVOT sums ON "person reached", "transfers failed", "short calls" INTO NAME name VALUE value
ORDER BY day, name
