-- When the definition of an endpoint last changed; 0 for those of before, whose making stands for it.
ALTER TABLE endpoints ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;

-- From when failures count for the breaker of an endpoint.
ALTER TABLE endpoints ADD COLUMN breaker_reset_at BIGINT NOT NULL DEFAULT 0;

-- What an API asks a checker to do at once.
CREATE TABLE errands (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    errand   TEXT   NOT NULL,
    asked_at BIGINT NOT NULL,
    taken_at BIGINT,
    answer   TEXT
);
