UPDATE check_shards SET term = $2
WHERE shard = $1 AND NOT EXISTS (SELECT 1 FROM checkers c WHERE c.term = check_shards.term)
