SELECT day, salt, expires_at FROM visitor_salts
WHERE day IN (SELECT value FROM json_each($1)) AND expires_at > $2
