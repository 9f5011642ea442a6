UPDATE endpoints SET last_check = $3
WHERE id = $1 AND state = $2
