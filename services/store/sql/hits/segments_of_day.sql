-- The next after $3. The sizes first: what is not wanted is not read.
SELECT segments.id, segments.data FROM (
    SELECT id, CAST(SUM(bytes) OVER (ORDER BY id) AS BIGINT) - bytes AS bytes_before
    FROM (SELECT id, bytes FROM segments WHERE project_id = $1 AND day = $2 AND id > $3 ORDER BY id LIMIT $4) AS next
) AS counted
JOIN segments ON segments.project_id = $1 AND segments.id = counted.id
WHERE bytes_before < $5
ORDER BY segments.id
