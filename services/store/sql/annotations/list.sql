SELECT id, at, text, url FROM annotations
WHERE project_id = $1 AND at >= $2 AND at < $3
ORDER BY at DESC, id DESC
LIMIT $4
