INSERT INTO notices (key, endpoint_id, project_id, channel, kind, condition, episode, root, at, details, state,
                     due_at, created_at)
VALUES ($1, 0, 0, $2, $3, $4, 0, '', $6, $5, 'waiting', $6, $6)
RETURNING id
