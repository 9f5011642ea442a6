SELECT 1, id, rows, bytes, min_ts, max_ts FROM segments
WHERE project_id = $1 AND day BETWEEN $2 AND $3 AND max_ts >= $4 AND min_ts < $5
UNION ALL
SELECT 0, id, rows, CAST(LENGTH(data) AS BIGINT), min_ts, max_ts FROM inbox
WHERE project_id = $1 AND max_ts >= $4 AND min_ts < $5
ORDER BY 1 DESC, 2
