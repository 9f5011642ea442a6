SELECT DISTINCT day FROM (
    SELECT day FROM segments
    WHERE project_id = $1 AND day BETWEEN $2 AND $3 AND rows < $4 AND bytes < $5 AND level < $7
    GROUP BY day, level
    HAVING COUNT(*) >= $6
) AS many
ORDER BY day
