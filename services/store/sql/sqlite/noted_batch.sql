SELECT content FROM batches WHERE project_id = $1 AND key = $2
