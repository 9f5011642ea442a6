DELETE FROM notices
WHERE state IN ('sent', 'dropped') AND endpoint_id <> 0
  AND NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = notices.endpoint_id)
