SELECT salt, expires_at FROM visitor_salts
WHERE day = $1 AND expires_at > $2
