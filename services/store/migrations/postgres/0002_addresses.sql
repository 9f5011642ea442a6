-- What is learnt about a project's addresses after their hits were stored. Flags are 0 and 1.
CREATE TABLE addresses (
    project_id   BIGINT NOT NULL,
    ip           TEXT   NOT NULL,
    host         TEXT,
    city         TEXT,
    region       TEXT,
    bot          BIGINT,
    processed_at BIGINT,
    PRIMARY KEY (project_id, ip)
);
