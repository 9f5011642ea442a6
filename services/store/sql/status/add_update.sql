INSERT INTO status_updates (incident_id, at, status, text)
VALUES ($1, $2, $3, $4)
