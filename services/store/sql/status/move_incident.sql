UPDATE status_incidents SET status = $3, ends_at = $4
WHERE page_id = $1 AND id = $2
