UPDATE endpoints SET state = $2, last_check = $3, transition_seq = $4, since = $5
WHERE id = $1 AND state NOT IN ($2, 'Suspended')
