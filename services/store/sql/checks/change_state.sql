UPDATE endpoints SET state = $2, last_check = $3, since = $4, transition_seq = $5
WHERE id = $1 AND state NOT IN ($2, 'Suspended')
  AND NOT EXISTS (SELECT 1 FROM checks c
                  WHERE c.project_id = endpoints.project_id AND c.endpoint_id = endpoints.id AND c.at > $4)
