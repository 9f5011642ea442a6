SELECT data FROM inbox
WHERE project_id = $1 AND max_ts >= $2 AND min_ts < $3
ORDER BY id
