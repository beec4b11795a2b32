-- For each partition and value: how many calls that are listed again had the value when they landed, and how many of these
-- lack it now. Calls that had not ended do not count.
SELECT now.day, now.model_id, [{had}] AS had, [{vanished}] AS vanished
FROM {decoded} AS now
JOIN (SELECT *, coalesce({is_open}, false) AS is_open FROM calls) AS landed USING (call_id)
WHERE
    now.reason IS NULL
    AND landed.day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7
    AND NOT landed.is_open
GROUP BY now.day, now.model_id
ORDER BY now.day, now.model_id
