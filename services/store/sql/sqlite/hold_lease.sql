INSERT INTO leases AS held (name, holder, expires_at)
VALUES ($1, $2, CAST(unixepoch('subsec') * 1000 AS INTEGER) + $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE held.holder = excluded.holder
   OR held.expires_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
