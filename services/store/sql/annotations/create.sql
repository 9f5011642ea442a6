INSERT INTO annotations (project_id, at, text, url)
VALUES ($1, $2, $3, $4)
RETURNING id
