INSERT INTO alerts (endpoint_id, channel, told, episode, trouble_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (endpoint_id, channel) DO UPDATE SET
    told = excluded.told, episode = excluded.episode, trouble_at = excluded.trouble_at
