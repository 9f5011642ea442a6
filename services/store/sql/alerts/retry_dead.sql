UPDATE notices SET state = 'waiting', due_at = $3, attempts = 0, tried_at = NULL, finished_at = NULL
WHERE state = 'dead'
  AND (CAST($1 AS TEXT) IS NULL OR endpoint_id = (SELECT e.id FROM endpoints e WHERE e.uid = $1))
  AND (CAST($2 AS TEXT) IS NULL OR channel = $2)
