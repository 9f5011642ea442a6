delivery = $1 AND state IN ('waiting', 'sending') ORDER BY id
