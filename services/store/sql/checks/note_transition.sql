INSERT INTO transitions (project_id, endpoint_id, seq, at, from_state, to_state, message)
VALUES ($1, $2, $3, $4, $5, $6, $7)
