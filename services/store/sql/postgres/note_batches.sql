-- Gives those that were not noted before; one order of locks for all replicas.
INSERT INTO batches (project_id, key, content, created_at)
SELECT batch.project_id, batch.key, batch.content, $4
FROM unnest($1::BIGINT[], $2::BYTEA[], $3::BYTEA[]) AS batch (project_id, key, content)
ORDER BY batch.project_id, batch.key
ON CONFLICT (project_id, key) DO NOTHING
RETURNING project_id, key
