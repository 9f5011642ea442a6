SELECT ip, bot, last_seen, asked_at FROM addresses
WHERE project_id = $1 AND ip IN (SELECT value FROM json_each($2))
