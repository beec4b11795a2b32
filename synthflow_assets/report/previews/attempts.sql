-- Share of the leads first called on a day that were reached by the first call, by the third, and at all.
SELECT day, unnest(['by the first call', 'by the third', 'by the last']) AS name, unnest([
    sum(reached) FILTER (attempt = 1) / sum(leads) FILTER (attempt = 1),
    sum(reached) FILTER (attempt <= 3) / sum(leads) FILTER (attempt = 1),
    sum(reached) / sum(leads) FILTER (attempt = 1)
]) AS value
FROM attempts_daily
WHERE day BETWEEN $first AND $last
GROUP BY day
ORDER BY day, name
