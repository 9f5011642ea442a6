SELECT id, data FROM inbox
WHERE project_id = $1
ORDER BY id
LIMIT $2
