UPDATE endpoints SET due = v.due, last_check = v.last_check, memory = v.memory
FROM (SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.seq') AS seq,
             json_extract(value, '$.before') AS before, json_extract(value, '$.due') AS due,
             json_extract(value, '$.last_check') AS last_check, json_extract(value, '$.memory') AS memory
      FROM json_each($1)) AS v
WHERE endpoints.id = v.id AND endpoints.seq = v.seq AND endpoints.due IS v.before
