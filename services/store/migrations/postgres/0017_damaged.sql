-- Batches of the inbox that could not be read when they were to be sealed. Nothing reads them; whoever
-- knows how to mend one puts it back into the inbox.
CREATE TABLE damaged_batches (
    project_id BIGINT NOT NULL,
    id         BIGINT NOT NULL,
    rows       BIGINT NOT NULL,
    min_ts     BIGINT NOT NULL,
    max_ts     BIGINT NOT NULL,
    data       BYTEA  NOT NULL,
    found_at   BIGINT NOT NULL,
    PRIMARY KEY (project_id, id)
);
