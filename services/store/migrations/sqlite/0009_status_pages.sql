-- Public status pages, what people post on them, and badges. Endpoints are named by their uid.

-- `spec` is JSON; `host` is taken out of it so that no two pages answer at one.
CREATE TABLE status_pages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    slug       TEXT   NOT NULL,
    host       TEXT,
    spec       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX status_pages_by_slug ON status_pages (slug);
CREATE UNIQUE INDEX status_pages_by_host ON status_pages (host);

-- `endpoints` is a JSON list of uids.
CREATE TABLE status_incidents (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    page_id    BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    title      TEXT   NOT NULL,
    impact     TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    endpoints  TEXT   NOT NULL,
    starts_at  BIGINT NOT NULL,
    ends_at    BIGINT
);
CREATE INDEX status_incidents_by_start ON status_incidents (page_id, starts_at);

CREATE TABLE status_updates (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    status      TEXT   NOT NULL,
    text        TEXT   NOT NULL
);
CREATE INDEX status_updates_by_incident ON status_updates (incident_id, at);

-- Endpoints whose badges are public without a status page.
CREATE TABLE badges (
    uid TEXT PRIMARY KEY
);
