SELECT ip, host, city, region, bot FROM addresses
WHERE project_id = $1 AND ip IN (SELECT value FROM json_array_elements_text(CAST($2 AS JSON)))
