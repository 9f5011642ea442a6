-- Pieces of one level that have grown many and are short still, or have few checks for the time that
-- they cover; of days long past, all that are left.
SELECT project_id, endpoint_id, day, level FROM check_segments
WHERE day >= $1 AND level <> $7
GROUP BY project_id, endpoint_id, day, level
HAVING COUNT(*) > 1 AND SUM(last_at - first_at) < $3
   AND (COUNT(*) >= $2 OR (SUM(rows) < $6 AND 4 * SUM(last_at - first_at) >= 3 * $3))
UNION ALL
SELECT project_id, endpoint_id, day, -1 FROM check_segments
WHERE day < $1 AND day >= $5 AND level <> $7
GROUP BY project_id, endpoint_id, day
HAVING COUNT(*) > 1
LIMIT $4
