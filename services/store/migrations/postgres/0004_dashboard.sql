-- What people set about the dashboards. Secrets are kept as SHA-256, passwords as argon2.

-- `settings` is JSON.
CREATE TABLE dashboards (
    project_id BIGINT PRIMARY KEY,
    settings   TEXT   NOT NULL
);

CREATE TABLE shares (
    project_id    BIGINT NOT NULL,
    id            BIGINT GENERATED ALWAYS AS IDENTITY,
    title         TEXT   NOT NULL,
    slug          TEXT,
    secret_hash   BYTEA,
    password_hash TEXT,
    filter        TEXT   NOT NULL,
    people        BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX shares_by_slug ON shares (slug);
CREATE UNIQUE INDEX shares_by_secret ON shares (secret_hash);

CREATE TABLE annotations (
    project_id BIGINT NOT NULL,
    id         BIGINT GENERATED ALWAYS AS IDENTITY,
    at         BIGINT NOT NULL,
    text       TEXT   NOT NULL,
    url        TEXT,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX annotations_by_time ON annotations (project_id, at);

CREATE TABLE sessions (
    token_hash BYTEA  PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
