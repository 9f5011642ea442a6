SELECT ip, bot, last_seen
FROM addresses
WHERE project_id = $1 AND asked_at IS NULL AND processed_at < $2
ORDER BY ip
LIMIT $3
