-- Checkers that are alive. A term is given once and never again; whoever writes under one that is not
-- here any more is refused.
CREATE TABLE checkers (
    holder     TEXT   PRIMARY KEY,
    term       BIGINT NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL
);

-- Which checker probes which endpoints, by the hash of their id; a term that is not in `checkers` is nobody's.
CREATE TABLE check_shards (
    shard BIGINT PRIMARY KEY,
    term  BIGINT
);
INSERT INTO check_shards (shard) SELECT generate_series(0, 255);

INSERT INTO sequences (name, value) VALUES ('terms', 0), ('shards', 0);

-- Results as they arrive: a row a flush, the checks of many endpoints packed. `at` is the start of checks.
CREATE TABLE check_batches (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rows     BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    data     BYTEA  NOT NULL
);
ALTER TABLE check_batches ALTER COLUMN data SET STORAGE EXTERNAL;

-- Sealed results of an endpoint and UTC day, packed, with their sum. `due` is the instant for which a check was planned.
CREATE TABLE check_segments (
    project_id  BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    first_due   BIGINT NOT NULL,
    first_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    day         BIGINT NOT NULL,
    level       BIGINT NOT NULL,
    rows        BIGINT NOT NULL,
    summary     BYTEA  NOT NULL,
    data        BYTEA  NOT NULL,
    PRIMARY KEY (project_id, endpoint_id, first_due)
);
ALTER TABLE check_segments ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX check_segments_by_day ON check_segments (day, level);

-- Every change of an endpoint's state that a check caused; `seq` is the sequence `transitions`.
CREATE TABLE transitions (
    project_id  BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    from_state  TEXT   NOT NULL,
    to_state    TEXT   NOT NULL,
    message     TEXT,
    PRIMARY KEY (project_id, endpoint_id, seq)
);
CREATE INDEX transitions_by_time ON transitions (at);

-- The instant for which the newest stored check was planned.
ALTER TABLE endpoints ADD COLUMN due BIGINT;
-- Room for the update after each check.
ALTER TABLE endpoints SET (fillfactor = 60);
