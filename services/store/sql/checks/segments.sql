SELECT first_due, first_at, last_at, summary FROM check_segments
WHERE project_id = $1 AND endpoint_id = $2 AND first_due >= $3 AND first_due < $4
ORDER BY first_due
