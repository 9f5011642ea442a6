SELECT incident_id, id, at, status, text FROM status_updates
WHERE incident_id IN (SELECT id FROM status_incidents
                      WHERE page_id = $1 AND starts_at < $3 AND (ends_at IS NULL OR ends_at >= $2)
                      ORDER BY starts_at DESC, id DESC
                      LIMIT $4)
ORDER BY at DESC, id DESC
