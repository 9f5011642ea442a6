DELETE FROM inbox
WHERE project_id = $1 AND id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($2 AS JSON)))
