SELECT endpoint_id,
       COUNT(*) FILTER (WHERE ok AND at >= $1), COUNT(*) FILTER (WHERE at >= $1),
       COUNT(*) FILTER (WHERE ok AND at >= $2), COUNT(*) FILTER (WHERE at >= $2),
       COUNT(*) FILTER (WHERE ok), COUNT(*)
FROM checks
WHERE at >= $3
GROUP BY endpoint_id
