-- Those of a range of days, and of each endpoint the newest before them.
SELECT endpoint_id, first_at, last_at, summary, first_due FROM check_segments
WHERE day >= $1 AND day <= $2
UNION ALL
SELECT s.endpoint_id, s.first_at, s.last_at, s.summary, s.first_due
FROM endpoints e JOIN check_segments s ON s.project_id = e.project_id AND s.endpoint_id = e.id
WHERE s.first_due = (SELECT MAX(b.first_due) FROM check_segments b
                     WHERE b.project_id = e.project_id AND b.endpoint_id = e.id AND b.first_due < $3)
ORDER BY endpoint_id, first_due
