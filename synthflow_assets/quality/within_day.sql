SELECT day, model_id, format('{} calls started on another day', count(*)) AS problem
FROM calls
WHERE
    ($days IS NULL OR list_contains($days::DATE[], day))
    AND (start_time AT TIME ZONE $timezone)::DATE <> day
GROUP BY day, model_id
ORDER BY ALL
