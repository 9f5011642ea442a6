UPDATE status_pages SET slug = $2, host = $3, spec = $4, updated_at = $5
WHERE id = $1
  AND NOT EXISTS (SELECT 1 FROM status_pages other WHERE other.id <> $1 AND (other.slug = $2 OR other.host = $3))
