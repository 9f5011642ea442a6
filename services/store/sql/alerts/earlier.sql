SELECT id FROM notices
WHERE endpoint_id = $1 AND channel = $2 AND id < $3 AND hold IS NULL AND state IN ('waiting', 'sending')
LIMIT 1
