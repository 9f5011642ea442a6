INSERT INTO projects (key_hash, user_id, created_at)
VALUES ($1, $2, $3)
ON CONFLICT (key_hash) DO NOTHING
