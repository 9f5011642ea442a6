-- No row: the group is there already.
INSERT INTO writers AS w (id, sequence, written_at) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, written_at = excluded.written_at
WHERE w.sequence < excluded.sequence
