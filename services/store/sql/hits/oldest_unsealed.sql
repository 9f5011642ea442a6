-- The sizes first: what is not wanted is not read.
SELECT inbox.id, inbox.data FROM (
    SELECT id,
           CAST(SUM(rows) OVER (ORDER BY id) AS BIGINT) - rows AS rows_before,
           CAST(SUM(bytes) OVER (ORDER BY id) AS BIGINT) - bytes AS bytes_before
    FROM (SELECT id, rows, LENGTH(data) AS bytes FROM inbox WHERE project_id = $1 ORDER BY id LIMIT $2) AS oldest
) AS counted
JOIN inbox ON inbox.project_id = $1 AND inbox.id = counted.id
WHERE rows_before < $3 AND bytes_before < $4
ORDER BY inbox.id
