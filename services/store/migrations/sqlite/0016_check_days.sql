-- How each endpoint spent a UTC day that is over, packed; without data while it is being added up by `maker`.
CREATE TABLE check_days (
    day   BIGINT NOT NULL PRIMARY KEY,
    maker TEXT   NOT NULL,
    data  BLOB
);
