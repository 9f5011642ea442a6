INSERT INTO notices (key, endpoint_id, project_id, channel, kind, condition, episode, root, at, details,
                     state, hold, due_at, error, created_at, finished_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (key) DO NOTHING
