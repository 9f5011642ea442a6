INSERT INTO segments (project_id, day, level, rows, min_ts, max_ts, bytes, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
