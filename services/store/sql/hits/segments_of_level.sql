-- None when there are fewer than $6.
SELECT segments.id, segments.data FROM (
    SELECT id,
           COUNT(*) OVER () AS many,
           CAST(SUM(bytes) OVER (ORDER BY id) AS BIGINT) - bytes AS bytes_before
    FROM segments
    WHERE project_id = $1 AND day = $2 AND level = $3 AND rows < $4 AND bytes < $5
) AS counted
JOIN segments ON segments.project_id = $1 AND segments.id = counted.id
WHERE many >= $6 AND bytes_before < $7
ORDER BY segments.id
