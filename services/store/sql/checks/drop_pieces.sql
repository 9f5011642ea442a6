DELETE FROM check_segments
WHERE project_id = $1 AND endpoint_id = $2 AND day = $3 AND (level = $4 OR $4 < 0) AND level <> $5
