SELECT id, project_id, seq, state, since, last_check, memory, due, spec FROM endpoints
WHERE id IN (SELECT value FROM json_each($1))
