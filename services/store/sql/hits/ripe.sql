SELECT project_id FROM inbox
GROUP BY project_id
HAVING COUNT(*) >= $1 OR SUM(rows) >= $2
