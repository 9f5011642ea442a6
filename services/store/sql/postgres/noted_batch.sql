-- The lock makes another replica that has the same batch wait for the outcome.
SELECT content FROM batches WHERE project_id = $1 AND key = $2 FOR UPDATE
