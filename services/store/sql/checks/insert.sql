INSERT INTO checks (project_id, endpoint_id, at, ok, status, duration_us, message)
SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS BOOLEAN), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS TEXT)
WHERE EXISTS (SELECT 1 FROM endpoints WHERE id = CAST($2 AS BIGINT) AND state <> 'Suspended')
ON CONFLICT (project_id, endpoint_id, at) DO NOTHING
