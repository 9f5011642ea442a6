-- When a notice was tried first: how long it is tried is counted from then, however long it was held before.
ALTER TABLE notices ADD COLUMN tried_at BIGINT;
