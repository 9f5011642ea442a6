SELECT (SELECT COUNT(*) FROM projects),
       CAST((SELECT COALESCE(SUM(rows), 0) FROM segments) + (SELECT COALESCE(SUM(rows), 0) FROM inbox) AS BIGINT),
       CAST((SELECT COALESCE(SUM(bytes), 0) FROM segments) + (SELECT COALESCE(SUM(LENGTH(data)), 0) FROM inbox) AS BIGINT)
