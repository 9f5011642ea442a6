SELECT day, CAST(SUM(rows) AS BIGINT)
FROM segments
WHERE project_id = $1 AND day BETWEEN $2 AND $3
GROUP BY day
ORDER BY day
