UPDATE endpoints AS e SET due = v.due, last_check = v.last_check, memory = v.memory
FROM json_to_recordset(CAST($1 AS JSON)) AS v (id BIGINT, seq BIGINT, before BIGINT, due BIGINT, last_check TEXT, memory TEXT)
WHERE e.id = v.id AND e.seq = v.seq AND e.due IS NOT DISTINCT FROM v.before
