SELECT data FROM check_batches WHERE last_at >= $1 AND first_at < $2 ORDER BY id
