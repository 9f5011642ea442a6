SELECT d.day, d.rows
FROM site_days d
WHERE d.project_id = $1 AND d.day < $2
  AND d.rows = (SELECT SUM(s.rows) FROM segments s WHERE s.project_id = $1 AND s.day = d.day)
ORDER BY d.day
