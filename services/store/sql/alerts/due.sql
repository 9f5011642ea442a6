state IN ('waiting', 'sending') AND due_at <= $1 AND channel = $2
  AND NOT EXISTS (SELECT 1 FROM notices e
                  WHERE e.endpoint_id = n.endpoint_id AND e.channel = n.channel AND e.id < n.id
                    AND n.endpoint_id <> 0 AND e.hold IS NULL AND e.state IN ('waiting', 'sending')
                    AND (e.delivery IS NULL OR n.delivery IS NULL OR e.delivery <> n.delivery))
  AND NOT EXISTS (SELECT 1 FROM notices d
                  WHERE d.delivery = n.delivery AND d.id < n.id AND d.state IN ('waiting', 'sending'))
ORDER BY due_at, id
