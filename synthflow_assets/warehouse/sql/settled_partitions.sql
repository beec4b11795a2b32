SELECT day, model_id
FROM call_loads
WHERE
    settled
    AND list_contains($days::DATE[], day)
    AND ($run_ids IS NULL OR list_contains($run_ids::VARCHAR[], run_id))
