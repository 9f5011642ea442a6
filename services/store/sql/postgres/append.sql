-- The lock makes whoever deletes the project wait for this transaction.
INSERT INTO inbox (project_id, rows, min_ts, max_ts, data)
SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), $5
WHERE EXISTS (SELECT 1 FROM projects WHERE id = CAST($1 AS BIGINT) FOR KEY SHARE)
