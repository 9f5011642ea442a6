INSERT INTO damaged_batches (project_id, id, rows, min_ts, max_ts, data, found_at)
SELECT project_id, id, rows, min_ts, max_ts, data, CAST($3 AS BIGINT) FROM inbox WHERE project_id = $1 AND id = $2
