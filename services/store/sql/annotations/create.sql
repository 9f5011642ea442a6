INSERT INTO annotations (project_id, at, text, url)
SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT)
WHERE (SELECT COUNT(*) FROM annotations a WHERE a.project_id = $1) < $5
RETURNING id
