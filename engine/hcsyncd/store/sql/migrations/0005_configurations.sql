-- Every configuration that was live, with its files. The numbers go on over restarts; each delivery says which made it.
CREATE TABLE configuration (
    number   INTEGER PRIMARY KEY,
    digest   TEXT NOT NULL,    -- of the files and of what their references stood for
    began_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL, -- 0: it has not
    author   TEXT NOT NULL,
    reason   TEXT NOT NULL,
    outcome  TEXT NOT NULL,    -- starting, live, superseded, reverted, saved
    why      TEXT NOT NULL,    -- of the outcome
    changes  TEXT NOT NULL     -- a JSON array of lines, against what was live before
);

-- Contents stand apart and are named by their digest, so that a file that did not change costs nothing again.
CREATE TABLE configuration_content (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE, -- SHA-256
    bytes  BLOB NOT NULL
);

CREATE TABLE configuration_file (
    number     INTEGER NOT NULL,
    name       TEXT NOT NULL, -- relative to the site, with /
    content_id INTEGER NOT NULL,
    PRIMARY KEY (number, name)
) WITHOUT ROWID;

CREATE INDEX configuration_outcome ON configuration (outcome);

-- The configuration that made a delivery; 0: made before this was kept.
ALTER TABLE delivery ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
