INSERT INTO addresses AS known (project_id, ip, host, city, region, bot, processed_at, asked_at, last_seen)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (project_id, ip) DO UPDATE SET
    host         = COALESCE(excluded.host, known.host),
    city         = COALESCE(excluded.city, known.city),
    region       = COALESCE(excluded.region, known.region),
    bot          = CASE WHEN known.bot = 1 THEN 1 ELSE excluded.bot END,
    processed_at = excluded.processed_at,
    asked_at     = COALESCE(excluded.asked_at, known.asked_at),
    last_seen    = CASE WHEN known.last_seen > excluded.last_seen THEN known.last_seen ELSE excluded.last_seen END
