-- Pieces of one level that have grown many and are short still; of days long past, all that are left.
SELECT project_id, endpoint_id, day, level FROM check_segments
WHERE day >= $1
GROUP BY project_id, endpoint_id, day, level
HAVING COUNT(*) >= $2 AND SUM(last_at - first_at) < $3
UNION ALL
SELECT project_id, endpoint_id, day, -1 FROM check_segments
WHERE day < $1 AND day >= $5
GROUP BY project_id, endpoint_id, day
HAVING COUNT(*) > 1
LIMIT $4
