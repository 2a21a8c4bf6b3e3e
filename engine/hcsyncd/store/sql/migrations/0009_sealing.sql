-- The keys that values are sealed under, each wrapped under the master key, which is not here. Number 0 seals no value and
-- is never replaced: it is what lasting purposes derive theirs from. See hcsyncd.store.keyring.
CREATE TABLE data_key (
    number  INTEGER PRIMARY KEY,
    made_at INTEGER NOT NULL,
    master  TEXT NOT NULL, -- the fingerprint of the master key
    wrapped BLOB NOT NULL
) STRICT;

-- What is still to be sealed under the newest data key: a row for each part of the store, gone when all parts are done.
CREATE TABLE resealing (
    part    TEXT PRIMARY KEY,
    done_id INTEGER NOT NULL,
    failed  INTEGER NOT NULL DEFAULT 0 -- values that did not open and stay as they are
) STRICT;

-- Ids go on above this. Raised when a backup is restored, because the ids after its last one were given before.
ALTER TABLE store ADD COLUMN ids_from INTEGER NOT NULL DEFAULT 0;

-- 1: the store was clear once, and what was deleted or moved then may still lie in unused places of the file.
ALTER TABLE store ADD COLUMN remnants INTEGER NOT NULL DEFAULT 0;

-- The copies that were made while the daemon ran.
CREATE TABLE backup (
    id      INTEGER PRIMARY KEY,
    made_at INTEGER NOT NULL,
    file    TEXT NOT NULL,
    bytes   INTEGER NOT NULL,
    sha256  TEXT NOT NULL
) STRICT;
