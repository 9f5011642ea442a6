UPDATE endpoints SET
    origin = $2, project_id = $3, namespace = $4, name = $5, spec = $6, generation = $7,
    seq = $8, updated_at = $9
WHERE uid = $1
