-- Times are UTC milliseconds, days are days since 1970-01-01, durations are microseconds.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB  NOT NULL
);

CREATE TABLE projects (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    key_hash      BLOB   NOT NULL UNIQUE,
    user_id       TEXT   NOT NULL UNIQUE,
    name          TEXT   UNIQUE,
    created_at    BIGINT NOT NULL,
    last_accessed BIGINT
);

-- Hits as they arrive: one row a flush and project, the batch as Parquet.
CREATE TABLE inbox (
    project_id BIGINT NOT NULL,
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    rows       BIGINT NOT NULL,
    min_ts     BIGINT NOT NULL,
    max_ts     BIGINT NOT NULL,
    data       BLOB   NOT NULL
);

-- Sealed hits: Parquet with zstd, a project and day each, sorted by time.
CREATE TABLE segments (
    project_id BIGINT NOT NULL,
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    day        BIGINT NOT NULL,
    level      BIGINT NOT NULL,
    rows       BIGINT NOT NULL,
    min_ts     BIGINT NOT NULL,
    max_ts     BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    data       BLOB   NOT NULL
);
CREATE INDEX inbox_by_project ON inbox (project_id, id);
CREATE INDEX segments_by_day ON segments (project_id, day);

-- `seq` moves with every change of an endpoint, `transition_seq` with every change of its state.
CREATE TABLE sequences (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO sequences (name, value) VALUES ('endpoints', 0), ('transitions', 0);

CREATE TABLE endpoints (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    uid            TEXT    NOT NULL UNIQUE,
    origin         TEXT    NOT NULL,
    project_id     BIGINT  NOT NULL,
    namespace      TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    spec           TEXT    NOT NULL,
    generation     BIGINT  NOT NULL,
    seq            BIGINT  NOT NULL,
    transition_seq BIGINT  NOT NULL,
    state          TEXT    NOT NULL,
    since          BIGINT  NOT NULL,
    last_check     TEXT,
    created_at     BIGINT  NOT NULL
);
CREATE INDEX endpoints_by_project ON endpoints (project_id);
CREATE INDEX endpoints_by_transition ON endpoints (transition_seq);

CREATE TABLE checks (
    project_id  BIGINT  NOT NULL,
    endpoint_id BIGINT  NOT NULL,
    at          BIGINT  NOT NULL,
    ok          BOOLEAN NOT NULL,
    status      BIGINT,
    duration_us BIGINT  NOT NULL,
    message     TEXT,
    PRIMARY KEY (project_id, endpoint_id, at)
);
CREATE INDEX checks_by_time ON checks (at);

CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);
