INSERT INTO check_segments (project_id, endpoint_id, first_due, first_at, last_at, day, level, rows, summary, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (project_id, endpoint_id, first_due) DO NOTHING
