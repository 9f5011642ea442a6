DELETE FROM status_updates
WHERE incident_id IN (SELECT id FROM status_incidents WHERE page_id = $1 AND (id = $2 OR $2 IS NULL))
