INSERT INTO addresses AS known (project_id, ip, host, city, region, bot, processed_at, asked_at, last_seen)
SELECT CAST($2 AS BIGINT), ip, host, city, region, bot, processed_at, asked_at, last_seen
FROM addresses
WHERE project_id = $1
ON CONFLICT (project_id, ip) DO UPDATE SET
    host         = COALESCE(known.host, excluded.host),
    city         = COALESCE(known.city, excluded.city),
    region       = COALESCE(known.region, excluded.region),
    bot          = CASE WHEN excluded.bot = 1 THEN 1 ELSE known.bot END,
    processed_at = COALESCE(known.processed_at, excluded.processed_at),
    asked_at     = COALESCE(known.asked_at, excluded.asked_at),
    last_seen    = CASE WHEN known.last_seen > excluded.last_seen THEN known.last_seen ELSE excluded.last_seen END
