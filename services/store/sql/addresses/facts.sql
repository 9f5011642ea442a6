SELECT ip, host, city, region, bot FROM addresses WHERE project_id = $1
