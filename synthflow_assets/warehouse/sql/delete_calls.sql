-- Delete the calls of these partitions. Strays that were listed for another partition stay, because this fetch does not list
-- them. So do calls whose new record is rejected, because it must not replace the version that landed.
DELETE FROM calls
WHERE
    (day, model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
    AND (coalesce(listed_day, day), model_id) IN (SELECT (unnest($days::DATE[]), unnest($model_ids::VARCHAR[])))
    AND call_id NOT IN (SELECT call_id FROM temp.staged WHERE reason IS NOT NULL AND call_id IS NOT NULL)
