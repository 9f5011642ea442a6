SELECT seq, at, from_state, to_state, message FROM transitions
WHERE project_id = $1 AND endpoint_id = $2 AND at >= $3 AND at < $4
ORDER BY seq
