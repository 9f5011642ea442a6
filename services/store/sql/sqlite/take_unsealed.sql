DELETE FROM inbox
WHERE project_id = $1 AND id IN (SELECT value FROM json_each($2))
