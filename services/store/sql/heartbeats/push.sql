-- Later than the call before, unless that is of a clock which was far ahead.
UPDATE heartbeats
SET pushed_at = CASE WHEN pushed_at BETWEEN $2 AND $3 THEN pushed_at + 1 ELSE $2 END, pushed_ok = $4
WHERE token_hash = $1
RETURNING pushed_at
