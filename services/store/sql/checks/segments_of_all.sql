SELECT endpoint_id, first_at, last_at, summary FROM check_segments
WHERE day >= $1 AND day <= $2
ORDER BY endpoint_id, first_due
