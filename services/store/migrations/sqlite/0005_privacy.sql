-- Salts of visitor ids: one random salt a UTC day, gone when it expires, so that nobody can tell
-- any more whose ids the day's are.
CREATE TABLE visitor_salts (
    day        BIGINT PRIMARY KEY,
    salt       BLOB   NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Before, salts came of one key for good. Processes of the old release go on with it while they are
-- replaced, so it serves up to tomorrow, and goes when tomorrow's salt goes.
ALTER TABLE settings ADD COLUMN expires_at BIGINT;
UPDATE settings SET expires_at = (unixepoch() / 86400 + 4) * 86400000 WHERE name = 'visitor';

-- What a project wants beyond what the installation demands; NULL is nothing of its own.
-- `retention_hits` is milliseconds, `honor_gpc` 0 or 1.
ALTER TABLE projects ADD COLUMN retention_hits BIGINT;
ALTER TABLE projects ADD COLUMN privacy_level BIGINT;
ALTER TABLE projects ADD COLUMN honor_gpc BIGINT;
