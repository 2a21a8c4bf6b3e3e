-- What waits for a person: holds, parked deliveries under their task, owners of dead letters.

-- What a person stopped; what has no row runs.
CREATE TABLE hold (
    kind    TEXT NOT NULL, -- receiving, routing, delivery
    channel TEXT NOT NULL,
    held_by TEXT NOT NULL,
    held_at INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    PRIMARY KEY (kind, channel)
) WITHOUT ROWID;

-- A code that a lookup table has no entry for.
CREATE TABLE task (
    id          INTEGER PRIMARY KEY,
    lookup      TEXT NOT NULL,    -- the table's name
    code        TEXT NOT NULL,
    opened_at   INTEGER NOT NULL,
    owner       TEXT NOT NULL,    -- '': the site's default
    due_at      INTEGER NOT NULL, -- 0: the site's default
    note        TEXT NOT NULL,
    assigned_by TEXT NOT NULL,
    closed_at   INTEGER NOT NULL, -- 0: open
    settled_by  TEXT NOT NULL,    -- who entered the mapping or discarded what waited, where a command said so
    reason      TEXT NOT NULL
);

CREATE UNIQUE INDEX task_open ON task (lookup, code) WHERE closed_at = 0;

CREATE TABLE parked (
    delivery_id INTEGER PRIMARY KEY,
    message_id  INTEGER NOT NULL,
    task_id     INTEGER NOT NULL
);

CREATE INDEX parked_task ON parked (task_id, message_id);

-- Who takes care of a dead letter, and until when.
CREATE TABLE assignment (
    message_id  INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL, -- 0: the message itself is the dead letter
    owner       TEXT NOT NULL,
    due_at      INTEGER NOT NULL, -- 0: the site's default
    note        TEXT NOT NULL,
    assigned_by TEXT NOT NULL,
    assigned_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, delivery_id)
) WITHOUT ROWID;
