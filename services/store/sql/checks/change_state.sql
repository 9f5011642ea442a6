UPDATE endpoints SET state = $2, since = $3, transition_seq = $4 WHERE id = $1
