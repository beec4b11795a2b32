-- Strays that earlier runs landed on another day than these partitions' own.
CREATE OR REPLACE TEMP TABLE strays AS
SELECT call_id, day
FROM calls
WHERE
    listed_day IN (SELECT unnest($days::DATE[]))
    AND day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
