SELECT data FROM check_segments WHERE project_id = $1 AND endpoint_id = $2 AND first_due = $3
