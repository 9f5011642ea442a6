-- Each by an index of its own: most notices have been sent long ago.
SELECT (SELECT COUNT(*) FROM notices WHERE state IN ('waiting', 'sending') AND hold IS NULL),
       (SELECT COUNT(*) FROM notices WHERE state = 'waiting' AND hold IS NOT NULL),
       (SELECT COUNT(*) FROM notices WHERE state = 'dead'),
       (SELECT MIN(COALESCE(tried_at, due_at)) FROM notices WHERE state IN ('waiting', 'sending') AND hold IS NULL)
