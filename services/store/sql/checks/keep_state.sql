UPDATE endpoints SET last_check = $3
WHERE id = $1 AND state = $2
  AND NOT EXISTS (SELECT 1 FROM checks c
                  WHERE c.project_id = endpoints.project_id AND c.endpoint_id = endpoints.id AND c.at > $4)
