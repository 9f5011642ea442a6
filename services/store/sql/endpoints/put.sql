INSERT INTO endpoints (uid, origin, project_id, namespace, name, spec, generation, seq,
                       transition_seq, state, since, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11)
ON CONFLICT (uid) DO UPDATE SET
    origin = excluded.origin, project_id = excluded.project_id, namespace = excluded.namespace,
    name = excluded.name, spec = excluded.spec, generation = excluded.generation,
    seq = excluded.seq, transition_seq = excluded.transition_seq, state = excluded.state,
    since = excluded.since, last_check = NULL, updated_at = excluded.updated_at, memory = NULL
