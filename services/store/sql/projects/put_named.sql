INSERT INTO projects (key_hash, user_id, name, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO NOTHING
