SELECT field, count(*) AS calls
FROM (SELECT unnest(unread) AS field FROM {decoded} WHERE reason IS NULL)
GROUP BY field
ORDER BY calls DESC, field
