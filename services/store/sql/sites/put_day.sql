INSERT INTO site_days (project_id, day, rows)
VALUES ($1, $2, $3)
ON CONFLICT (project_id, day) DO UPDATE SET rows = excluded.rows
