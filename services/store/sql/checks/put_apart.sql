UPDATE check_segments SET level = $4 WHERE project_id = $1 AND endpoint_id = $2 AND first_due = $3
