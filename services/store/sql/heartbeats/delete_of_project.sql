DELETE FROM heartbeats
WHERE endpoint_id IN (SELECT id FROM endpoints WHERE project_id = $1)
