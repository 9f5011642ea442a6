SELECT MIN(first) FROM (
    SELECT MIN(min_ts) AS first FROM segments WHERE project_id = $1
    UNION ALL
    SELECT MIN(min_ts) FROM inbox WHERE project_id = $1
) AS firsts
