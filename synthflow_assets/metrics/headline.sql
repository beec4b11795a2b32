-- From the histogram: the daily means cannot be averaged.
SELECT
    calls,
    persons_reached,
    connected_calls,
    failed_transfers,
    failed_transfers + successful_transfers AS transfers,
    total_duration_seconds / 60 AS minutes,
    mean_duration_seconds
FROM duration_summary($from_day, $to_day)
CROSS JOIN (
    SELECT
        coalesce(sum(person_reached_calls), 0)::BIGINT AS persons_reached,
        coalesce(sum(transfer_failed_calls), 0)::BIGINT AS failed_transfers,
        coalesce(sum(transfer_success_calls), 0)::BIGINT AS successful_transfers
    FROM call_rates_daily
    WHERE day BETWEEN $from_day AND $to_day
)
