SELECT id, answer FROM errands WHERE id BETWEEN $1 AND $2 AND answer IS NOT NULL
