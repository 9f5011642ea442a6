UPDATE notices SET state = $2, due_at = $3, error = $4, finished_at = $5, claim = NULL
WHERE claim = $1 AND state IN ('waiting', 'sending') AND state = 'sending'
