SELECT day, model_id, format('{} {} rejected: {}', count(*), if(count(*) = 1, 'record', 'records'), reason) AS problem
FROM call_rejects
WHERE $days IS NULL OR list_contains($days::DATE[], day)
GROUP BY day, model_id, reason
ORDER BY count(*) DESC, day, model_id, reason
