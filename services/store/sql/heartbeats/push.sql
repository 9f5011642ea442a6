UPDATE heartbeats SET pushed_at = $2, pushed_ok = $3
WHERE token_hash = $1 AND pushed_at < $2
