INSERT INTO projects (key_hash, name, user_id, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (key_hash) DO UPDATE SET name = excluded.name
