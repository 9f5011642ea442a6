SELECT id, data FROM segments
WHERE project_id = $1 AND day = $2 AND level = $3 AND rows < $4
ORDER BY id
