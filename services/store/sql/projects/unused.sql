-- Whether a project `p` is one that nobody has named, set, filled or looked at since $1, and that has had
-- no hits since then; that it has is noted once a day.
p.name IS NULL AND p.created_at < $1 AND COALESCE(p.last_accessed, 0) < $1
AND COALESCE(p.hits_seen_at, 0) < $1 - 86400000
AND p.retention_hits IS NULL AND p.privacy_level IS NULL AND COALESCE(p.honor_gpc, 0) = 0
AND NOT EXISTS (SELECT 1 FROM inbox t WHERE t.project_id = p.id)
AND NOT EXISTS (SELECT 1 FROM segments t WHERE t.project_id = p.id)
AND NOT EXISTS (SELECT 1 FROM endpoints t WHERE t.project_id = p.id)
AND NOT EXISTS (SELECT 1 FROM sites t WHERE t.project_id = p.id)
AND NOT EXISTS (SELECT 1 FROM dashboards t WHERE t.project_id = p.id)
AND NOT EXISTS (SELECT 1 FROM shares t WHERE t.project_id = p.id)
AND NOT EXISTS (SELECT 1 FROM annotations t WHERE t.project_id = p.id)
