SELECT id, data FROM (
    SELECT id, data, CAST(SUM(rows) OVER (ORDER BY id) AS BIGINT) - rows AS before
    FROM (SELECT id, data, rows FROM inbox WHERE project_id = $1 AND id > $2 ORDER BY id LIMIT $3) AS next
) AS counted
WHERE before < $4
ORDER BY id
