UPDATE notices SET state = 'waiting', due_at = $2, attempts = 0, tried_at = NULL, finished_at = NULL
WHERE id = $1 AND state = 'dead'
