DELETE FROM check_segments
WHERE (project_id, endpoint_id) IN (SELECT project_id, id FROM endpoints WHERE uid = $1)
