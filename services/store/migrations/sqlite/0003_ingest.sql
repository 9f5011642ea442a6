-- Batches that their client may send again, by the key that stands for each, for a day.
CREATE TABLE batches (
    project_id BIGINT NOT NULL,
    key        BLOB   NOT NULL,
    content    BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, key)
);
CREATE INDEX batches_by_time ON batches (created_at);
