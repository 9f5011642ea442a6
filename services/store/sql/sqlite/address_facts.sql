SELECT ip, host, city, region, bot FROM addresses
WHERE project_id = $1 AND ip IN (SELECT value FROM json_each($2))
