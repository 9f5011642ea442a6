UPDATE status_incidents SET title = $3, impact = $4, endpoints = $5, starts_at = $6, ends_at = $7
WHERE page_id = $1 AND id = $2
