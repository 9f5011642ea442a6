SELECT DISTINCT channel FROM notices WHERE state IN ('waiting', 'sending') AND due_at <= $1 ORDER BY channel
