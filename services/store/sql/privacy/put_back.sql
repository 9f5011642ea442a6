INSERT INTO inbox (project_id, rows, min_ts, max_ts, data)
VALUES ($1, $2, $3, $4, $5)
