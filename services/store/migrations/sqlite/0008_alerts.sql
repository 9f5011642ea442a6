-- What thresholds need to know of an endpoint's earlier checks, as JSON.
ALTER TABLE endpoints ADD COLUMN memory TEXT;

-- Where notices go, as the manifest of the installation says.
CREATE TABLE channels (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL
);

-- What each channel was told last of each endpoint.
CREATE TABLE alerts (
    endpoint_id BIGINT NOT NULL,
    channel     TEXT   NOT NULL,
    told        TEXT   NOT NULL,
    episode     BIGINT NOT NULL,
    trouble_at  BIGINT,
    PRIMARY KEY (endpoint_id, channel)
);

-- The outbox, and the log of what went out of it. `due_at` is when somebody must look at a notice next:
-- to send it, to try again, or to take it from a sender that died.
CREATE TABLE notices (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT   NOT NULL UNIQUE,
    endpoint_id BIGINT NOT NULL,
    project_id  BIGINT NOT NULL,
    channel     TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    condition   TEXT   NOT NULL,
    episode     BIGINT NOT NULL,
    root        TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    details     TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    hold        TEXT,
    due_at      BIGINT NOT NULL,
    attempts    BIGINT NOT NULL DEFAULT 0,
    claim       TEXT,
    delivery    TEXT,
    error       TEXT,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX notices_due ON notices (due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX notices_by_endpoint ON notices (endpoint_id, channel, id);
CREATE INDEX notices_by_delivery ON notices (delivery) WHERE delivery IS NOT NULL;
