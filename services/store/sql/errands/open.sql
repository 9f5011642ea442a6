SELECT id, errand FROM errands WHERE taken_at IS NULL AND asked_at >= $1 ORDER BY id LIMIT $2
