DELETE FROM calls
WHERE day IN (SELECT day FROM temp.moved) AND call_id IN (SELECT call_id FROM temp.moved)
