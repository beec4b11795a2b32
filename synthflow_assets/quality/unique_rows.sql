SELECT day, any_value({agent}) AS model_id, format('{{}} rows where there must be one', count(*)) AS problem
FROM {table}
WHERE $days IS NULL OR list_contains($days::DATE[], day)
GROUP BY {grain}
HAVING count(*) > 1
ORDER BY ALL
LIMIT 100
