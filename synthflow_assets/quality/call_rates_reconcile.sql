SELECT
    day,
    model_id,
    format(
        '{} connected and {} short calls, in call_duration_daily {} and {}',
        rates.connected_calls, rates.short_calls, durations.connected_calls, durations.short_calls
    ) AS problem
FROM call_rates_daily AS rates
JOIN call_duration_daily AS durations USING (day, model_id)
WHERE
    ($days IS NULL OR list_contains($days::DATE[], day))
    AND (rates.connected_calls <> durations.connected_calls OR rates.short_calls <> durations.short_calls)
ORDER BY ALL
