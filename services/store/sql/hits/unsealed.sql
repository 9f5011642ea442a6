-- The next after $4. The sizes first: what is not wanted is not read.
SELECT inbox.id, inbox.data FROM (
    SELECT id, CAST(SUM(bytes) OVER (ORDER BY id) AS BIGINT) - bytes AS bytes_before
    FROM (SELECT id, LENGTH(data) AS bytes FROM inbox
          WHERE project_id = $1 AND max_ts >= $2 AND min_ts < $3 AND id > $4 ORDER BY id LIMIT $5) AS next
) AS counted
JOIN inbox ON inbox.project_id = $1 AND inbox.id = counted.id
WHERE bytes_before < $6
ORDER BY inbox.id
