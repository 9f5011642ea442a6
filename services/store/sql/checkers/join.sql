INSERT INTO checkers (holder, term, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (holder) DO UPDATE SET term = excluded.term, expires_at = excluded.expires_at
