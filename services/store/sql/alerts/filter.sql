WHERE (CAST($1 AS TEXT) IS NULL OR state = $1)
  AND (CAST($2 AS TEXT) IS NULL OR endpoint_id = (SELECT e.id FROM endpoints e WHERE e.uid = $2))
  AND (CAST($3 AS TEXT) IS NULL OR channel = $3)
  AND (CAST($4 AS BIGINT) IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
