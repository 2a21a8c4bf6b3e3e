-- Who saw, sent, replayed and changed what, as a chain: each entry holds the hash of the one before it.
CREATE TABLE audit (
    number     INTEGER PRIMARY KEY, -- without a gap
    at         INTEGER NOT NULL,
    user_id    INTEGER NOT NULL,
    user       TEXT NOT NULL,
    process_id INTEGER NOT NULL,
    verb       TEXT NOT NULL,
    access     TEXT NOT NULL,
    what       TEXT NOT NULL,       -- canonical JSON
    outcome    TEXT NOT NULL,
    key_id     TEXT NOT NULL,       -- of the key that the hash was made with, '' for none
    previous   BLOB NOT NULL,
    hash       BLOB NOT NULL
) STRICT;

CREATE INDEX audit_at ON audit (at);

-- One row. What business keys are named by in the log, so that a person who has the value can ask for it.
CREATE TABLE audit_pseudonym (
    key BLOB NOT NULL
);

INSERT INTO audit_pseudonym (key) VALUES (randomblob(32));
