INSERT INTO sites (project_id)
SELECT CAST($2 AS BIGINT) FROM sites WHERE project_id = $1
ON CONFLICT (project_id) DO NOTHING
