UPDATE notices SET state = 'waiting', due_at = $2, attempts = 0, finished_at = NULL
WHERE id = $1 AND state = 'dead'
