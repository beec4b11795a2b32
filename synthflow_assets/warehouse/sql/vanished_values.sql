-- For each partition: in how many calls that landed before and are listed again each value was there, and in how many of these
-- it is not now. Calls that had not ended do not count.
SELECT now.day, now.model_id, [{had}] AS had, [{vanished}] AS vanished
FROM {decoded} AS now
JOIN calls AS landed USING (call_id)
WHERE
    now.reason IS NULL
    AND landed.day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    AND landed.call_outcome <> 'open'
GROUP BY now.day, now.model_id
ORDER BY now.day, now.model_id
