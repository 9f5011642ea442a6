-- Endpoints that call by themselves: which token is whose, and the newest call and whether it was good. 0 before the first.
CREATE TABLE heartbeats (
    endpoint_id BIGINT PRIMARY KEY,
    token_hash  TEXT   NOT NULL,
    pushed_at   BIGINT NOT NULL DEFAULT 0,
    pushed_ok   BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX heartbeats_by_token ON heartbeats (token_hash);
