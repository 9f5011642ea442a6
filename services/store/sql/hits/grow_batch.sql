UPDATE batches SET content = $3, created_at = $4 WHERE project_id = $1 AND key = $2
