-- The hours of the days; a change of the clocks may leave half of one.
SELECT
    unnest($hour_days::DATE[]) AS day,
    unnest($hours_ms::BIGINT[]) AS hour_ms,
    unnest($next_hours_ms::BIGINT[]) AS next_hour_ms,
    unnest($local_hours::INTEGER[]) AS local_hour
