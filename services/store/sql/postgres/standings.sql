SELECT id, project_id, seq, state, since, last_check, memory, due, spec FROM endpoints
WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON)))
