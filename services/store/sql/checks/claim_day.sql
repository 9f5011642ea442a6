-- Whoever comes last adds it up: one before may have died.
INSERT INTO check_days (day, maker) VALUES ($1, $2)
ON CONFLICT (day) DO UPDATE SET maker = excluded.maker WHERE check_days.data IS NULL
