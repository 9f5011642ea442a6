SELECT id, data FROM (
    SELECT id, data, CAST(SUM(rows) OVER (ORDER BY id) AS BIGINT) - rows AS before
    FROM (SELECT id, data, rows FROM inbox WHERE project_id = $1 ORDER BY id LIMIT $2) AS oldest
) AS counted
WHERE before < $3
ORDER BY id
