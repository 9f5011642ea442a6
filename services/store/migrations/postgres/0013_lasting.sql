-- Projects that another has taken in, for hits that still wait for one of them in a spool.
CREATE TABLE absorbed (
    project_id BIGINT PRIMARY KEY,
    into_id    BIGINT NOT NULL,
    at         BIGINT NOT NULL
);

-- When a project was last seen to have hits. What was before this is not known: it counts from now.
ALTER TABLE projects ADD COLUMN hits_seen_at BIGINT;
UPDATE projects SET hits_seen_at = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT);

-- How often an address was erased: what is learnt of hits that were read before is not stored after.
ALTER TABLE projects ADD COLUMN erasures BIGINT NOT NULL DEFAULT 0;
