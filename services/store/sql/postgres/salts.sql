SELECT day, salt, expires_at FROM visitor_salts
WHERE day IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON))) AND expires_at > $2
