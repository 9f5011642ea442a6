INSERT INTO status_incidents (page_id, kind, title, impact, status, endpoints, starts_at, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id
