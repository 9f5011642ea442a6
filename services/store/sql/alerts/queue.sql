SELECT COUNT(*) FILTER (WHERE state IN ('waiting', 'sending') AND hold IS NULL),
       COUNT(*) FILTER (WHERE state = 'waiting' AND hold IS NOT NULL),
       COUNT(*) FILTER (WHERE state = 'dead'),
       MIN(COALESCE(tried_at, due_at)) FILTER (WHERE state IN ('waiting', 'sending') AND hold IS NULL)
FROM notices
WHERE state IN ('waiting', 'sending', 'dead')
