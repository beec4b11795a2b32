SELECT
    NULL::DATE AS day,
    NULL::VARCHAR AS model_id,
    -- Only plain words are shown: anything else may be personal data.
    format(
        '{column} is {{}} in {{}} calls, which is not documented',
        CASE WHEN regexp_full_match({column}, '[A-Za-z_-]{{1,40}}') THEN {column} ELSE 'something unreadable' END,
        count(*)
    ) AS problem
FROM calls
WHERE
    ($days IS NULL OR list_contains($days::DATE[], day))
    AND trim({column}) <> ''
    -- The documentation mixes hyphens and underscores.
    AND replace(trim({column}), '-', '_') NOT IN ({values})
GROUP BY {column}
