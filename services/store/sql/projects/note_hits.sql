-- Once a day is enough.
UPDATE projects SET hits_seen_at = $1
WHERE COALESCE(hits_seen_at, 0) < $1 - 86400000
  AND (EXISTS (SELECT 1 FROM inbox t WHERE t.project_id = projects.id)
       OR EXISTS (SELECT 1 FROM segments t WHERE t.project_id = projects.id))
