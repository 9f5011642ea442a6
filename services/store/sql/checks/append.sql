INSERT INTO check_batches (rows, first_at, last_at, data) VALUES ($1, $2, $3, $4)
