SELECT id, data FROM (
    SELECT id, data, SUM(rows) OVER (ORDER BY id) - rows AS before FROM check_batches
) AS batches
WHERE before < $1 ORDER BY id
