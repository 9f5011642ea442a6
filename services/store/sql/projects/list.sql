SELECT p.id, p.user_id, p.name, p.created_at, p.last_accessed, p.retention_hits, p.privacy_level, p.honor_gpc,
       CAST(COALESCE(SUM(f.rows), 0) AS BIGINT), MAX(f.max_ts)
FROM (SELECT * FROM projects ORDER BY created_at DESC, id DESC LIMIT $1) p
LEFT JOIN (SELECT project_id, rows, max_ts FROM segments
           UNION ALL
           SELECT project_id, rows, max_ts FROM inbox) f ON f.project_id = p.id
GROUP BY p.id, p.user_id, p.name, p.created_at, p.last_accessed, p.retention_hits, p.privacy_level, p.honor_gpc
ORDER BY p.created_at DESC, p.id DESC
