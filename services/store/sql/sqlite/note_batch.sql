INSERT INTO batches (project_id, key, content, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (project_id, key) DO NOTHING
