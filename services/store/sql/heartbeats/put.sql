INSERT INTO heartbeats (endpoint_id, token_hash)
SELECT id, $2 FROM endpoints WHERE uid = $1
ON CONFLICT (endpoint_id) DO UPDATE SET token_hash = excluded.token_hash
