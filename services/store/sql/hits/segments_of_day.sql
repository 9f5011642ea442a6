SELECT data FROM segments
WHERE project_id = $1 AND day = $2
ORDER BY id
