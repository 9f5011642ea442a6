SELECT COUNT(*)
FROM projects
WHERE $1 = '' OR LOWER(name) LIKE LOWER($2) ESCAPE '\' OR SUBSTR(user_id, 1, 8) = LOWER($1)
