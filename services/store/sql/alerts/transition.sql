SELECT at, from_state, message FROM transitions WHERE project_id = $1 AND endpoint_id = $2 AND seq = $3
