INSERT INTO visitor_salts AS kept (day, salt, expires_at)
VALUES ($1, $2, $3)
ON CONFLICT (day) DO UPDATE SET salt = excluded.salt, expires_at = excluded.expires_at
WHERE kept.expires_at <= $4
