SELECT p.id, p.user_id, p.name, p.created_at, p.last_accessed,
       CAST(COALESCE((SELECT SUM(s.rows) FROM segments s WHERE s.project_id = p.id), 0)
          + COALESCE((SELECT SUM(i.rows) FROM inbox i WHERE i.project_id = p.id), 0) AS BIGINT)
FROM projects p
ORDER BY p.created_at DESC, p.id DESC
LIMIT $1
