SELECT id, kind, title, impact, status, endpoints, starts_at, ends_at FROM status_incidents
WHERE page_id = $1 AND starts_at < $3 AND (ends_at IS NULL OR ends_at >= $2)
ORDER BY starts_at DESC, id DESC
LIMIT $4
