-- Batches that their client may send again, by the key that stands for each, for a day.
CREATE TABLE batches (
    project_id BIGINT NOT NULL,
    key        BYTEA  NOT NULL,
    content    BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, key)
);
CREATE INDEX batches_by_time ON batches (created_at);

-- How far each writer has got: a group of batches whose answer was lost is written again under
-- its number, and is there once.
CREATE TABLE writers (
    id         BYTEA  PRIMARY KEY,
    sequence   BIGINT NOT NULL,
    written_at BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Batches up to a page stay in their row, and what was sealed makes room soon.
ALTER TABLE inbox SET (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000
);
