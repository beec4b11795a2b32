SELECT reason, count(*) AS records, count(record) AS kept, min(day) AS first_day, max(day) AS last_day
FROM call_rejects
GROUP BY reason
ORDER BY records DESC, reason
