-- In any order: replicas begin with different projects, and none always comes last.
SELECT project_id FROM inbox
GROUP BY project_id
HAVING COUNT(*) >= $1 OR SUM(rows) >= $2 OR SUM(LENGTH(data)) >= $3
ORDER BY RANDOM()
