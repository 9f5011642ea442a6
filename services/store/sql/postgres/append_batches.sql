-- The locks make whoever deletes a project wait for this transaction.
WITH known AS (
    SELECT id FROM projects WHERE id = ANY($1) ORDER BY id FOR KEY SHARE
), stored AS (
    INSERT INTO inbox (project_id, rows, min_ts, max_ts, data)
    SELECT batch.project_id, batch.rows, batch.min_ts, batch.max_ts, batch.data
    FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BYTEA[])
        AS batch (project_id, rows, min_ts, max_ts, data)
    JOIN known ON known.id = batch.project_id
)
SELECT id FROM known
