-- Writes a group of batches once, however often it is asked to: a writer's numbers only grow.
-- The locks make whoever deletes a project wait for this transaction.
WITH turn AS (
    INSERT INTO writers AS w (id, sequence, written_at) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, written_at = excluded.written_at
    WHERE w.sequence < excluded.sequence
    RETURNING 1
), known AS (
    SELECT id FROM projects WHERE id = ANY($4) ORDER BY id FOR KEY SHARE
), stored AS (
    INSERT INTO inbox (project_id, rows, min_ts, max_ts, data)
    SELECT batch.project_id, batch.rows, batch.min_ts, batch.max_ts, batch.data
    FROM unnest($4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BYTEA[])
        AS batch (project_id, rows, min_ts, max_ts, data)
    JOIN known ON known.id = batch.project_id
    CROSS JOIN turn
)
SELECT id FROM known
