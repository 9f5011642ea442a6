-- The spools of this installation's loggers, and when each was last empty: what tells a batch that is sent
-- again from a new one is kept for as long as one of them may hold it.
CREATE TABLE spools (
    id       TEXT   NOT NULL PRIMARY KEY,
    empty_at BIGINT NOT NULL
);
