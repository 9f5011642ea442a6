-- What releases before 0.2 have stored, a check a row.
SELECT at, CAST(CASE WHEN ok THEN 1 ELSE 0 END AS BIGINT), status, duration_us, message FROM checks
WHERE project_id = $1 AND endpoint_id = $2 AND at >= $3 AND at < $4
ORDER BY at
