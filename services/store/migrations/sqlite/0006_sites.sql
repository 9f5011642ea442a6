-- Projects that a website reports its views to, and how many hits of each of their days the
-- processing of addresses has looked at.
CREATE TABLE sites (
    project_id BIGINT PRIMARY KEY
);
CREATE TABLE site_days (
    project_id BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    rows       BIGINT NOT NULL,
    PRIMARY KEY (project_id, day)
);

-- When DNS last said what an address is called, or that it has no name; and when the address last asked.
ALTER TABLE addresses ADD COLUMN asked_at BIGINT;
ALTER TABLE addresses ADD COLUMN last_seen BIGINT;
