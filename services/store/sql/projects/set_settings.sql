UPDATE projects SET retention_hits = $2, privacy_level = $3, honor_gpc = $4
WHERE id = $1
