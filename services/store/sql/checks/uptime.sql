SELECT COUNT(*) FILTER (WHERE ok AND at >= $3), COUNT(*) FILTER (WHERE at >= $3),
       COUNT(*) FILTER (WHERE ok AND at >= $4), COUNT(*) FILTER (WHERE at >= $4),
       COUNT(*) FILTER (WHERE ok), COUNT(*)
FROM checks
WHERE project_id = $1 AND endpoint_id = $2 AND at >= $5
