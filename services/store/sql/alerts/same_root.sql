-- Of the few that wait, not of all by their numbers.
state IN ('waiting', 'sending') AND state = 'waiting' AND hold IS NULL AND delivery IS NULL AND channel = $1 AND kind = $2
  AND root = (SELECT l.root FROM notices l WHERE l.id = $3) AND root <> ''
  AND NOT EXISTS (SELECT 1 FROM notices e
                  WHERE e.endpoint_id = n.endpoint_id AND e.channel = n.channel AND e.id < n.id
                    AND e.hold IS NULL AND e.state IN ('waiting', 'sending'))
ORDER BY n.id + 0
