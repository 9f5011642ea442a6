INSERT INTO shares (project_id, title, slug, secret_hash, password_hash, filter, people, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING id
