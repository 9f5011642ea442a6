SELECT id, user_id, name, created_at, last_accessed, retention_hits, privacy_level, honor_gpc
FROM projects
WHERE $1 = '' OR LOWER(name) LIKE LOWER($2) ESCAPE '\' OR SUBSTR(user_id, 1, 8) = LOWER($1)
ORDER BY CASE WHEN name IS NULL THEN 1 ELSE 0 END, LOWER(name), created_at DESC, id DESC
LIMIT $3 OFFSET $4
