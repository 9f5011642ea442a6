SELECT first_due, first_at, last_at, summary FROM check_segments
WHERE project_id = $1 AND endpoint_id = $2 AND first_due < $4
  AND first_due >= COALESCE((SELECT MAX(b.first_due) FROM check_segments b
                             WHERE b.project_id = $1 AND b.endpoint_id = $2 AND b.first_due < $3), $3)
ORDER BY first_due
