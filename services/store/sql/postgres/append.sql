-- Writes a group of batches once, however often it is asked to: a writer's numbers only grow. Nothing of
-- it is written, and its number stays free, while one of its projects is missing from what this gives.
-- The locks make whoever deletes a project wait for this transaction.
WITH known AS (
    SELECT id FROM projects WHERE id = ANY($4) ORDER BY id FOR KEY SHARE
), turn AS (
    INSERT INTO writers AS w (id, sequence, written_at)
    SELECT $1::BYTEA, $2::BIGINT, $3::BIGINT
    WHERE NOT EXISTS (
        SELECT 1 FROM unnest($4::BIGINT[]) AS batch (project_id)
        WHERE batch.project_id NOT IN (SELECT id FROM known)
    )
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, written_at = excluded.written_at
    WHERE w.sequence < excluded.sequence
    RETURNING 1
), stored AS (
    INSERT INTO inbox (project_id, rows, min_ts, max_ts, data)
    SELECT batch.project_id, batch.rows, batch.min_ts, batch.max_ts, batch.data
    FROM unnest($4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BYTEA[])
        AS batch (project_id, rows, min_ts, max_ts, data)
    CROSS JOIN turn
)
SELECT id FROM known
UNION ALL
-- What was written before is there, whatever has become of its projects since.
SELECT batch.project_id FROM unnest($4::BIGINT[]) AS batch (project_id)
WHERE EXISTS (SELECT 1 FROM writers WHERE id = $1 AND sequence >= $2)
