INSERT INTO dashboards (project_id, settings)
VALUES ($1, $2)
ON CONFLICT (project_id) DO UPDATE SET settings = excluded.settings
