-- Delete the calls of these partitions. Strays that were listed for another partition stay, because this fetch does not list
-- them.
DELETE FROM calls
WHERE
    (day, model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
    AND (coalesce(listed_day, day), model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
