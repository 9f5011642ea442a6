SELECT id, data FROM inbox
WHERE project_id = $1 AND id IN ($2, $3, $4, $5, $6, $7, $8, $9)
