DELETE FROM transitions
WHERE (project_id, endpoint_id) IN (SELECT project_id, id FROM endpoints WHERE uid = $1)
