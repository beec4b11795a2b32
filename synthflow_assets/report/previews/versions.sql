-- Share of calls that reached a person, for the versions with the most calls.
WITH versions AS (
    SELECT day, value, sum(person_reached_calls) AS reached, sum(calls) AS calls
    FROM call_segments_daily
    WHERE day BETWEEN $first AND $last AND segment = 'assistant_version'
    GROUP BY day, value
),
largest AS (SELECT value FROM versions GROUP BY value ORDER BY sum(calls) DESC, value LIMIT 3)
SELECT day, 'version ' || replace(value, '_', ' ') AS name, reached / calls AS value
FROM versions
WHERE value IN (SELECT largest.value FROM largest)
ORDER BY day, name
