SELECT id, data FROM inbox
WHERE project_id = $1 AND id > $2
ORDER BY id
LIMIT $3
