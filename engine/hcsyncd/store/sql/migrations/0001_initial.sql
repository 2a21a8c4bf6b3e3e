-- One row. The name is part of every idempotency key, so that those of two stores never meet.
CREATE TABLE store (
    name TEXT NOT NULL
);

INSERT INTO store (name) VALUES (lower(hex(randomblob(6))));

-- Bodies stand apart from what is said about them, so that changing a state never rewrites a body and a list never reads one.
CREATE TABLE body (
    id    INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
);

CREATE TABLE message (
    id                INTEGER PRIMARY KEY,
    channel           TEXT NOT NULL,
    received_at       INTEGER NOT NULL,
    type              TEXT NOT NULL,
    control_id        TEXT NOT NULL,
    sender            TEXT NOT NULL,
    receiver          TEXT NOT NULL,
    state             TEXT NOT NULL,
    reply_state       TEXT NOT NULL,
    cause             TEXT NOT NULL,
    text              TEXT NOT NULL,
    body_id           INTEGER NOT NULL,
    bytes             INTEGER NOT NULL,
    peer              TEXT NOT NULL,
    facts             TEXT NOT NULL, -- a JSON object, '' for none
    identity          BLOB,          -- NULL: the message makes no later one a duplicate
    fingerprint       BLOB NOT NULL,
    reply             BLOB NOT NULL,
    application_reply BLOB NOT NULL,
    reply_open        INTEGER NOT NULL, -- 1: a reply is still to be decided
    trace             INTEGER,       -- NULL: the message is its own first cause
    parent            INTEGER,
    replay_of         INTEGER,
    only_route        TEXT NOT NULL,
    only_destination  TEXT NOT NULL
);

-- Finds what waits for routing, lists dead letters, and counts without touching a row.
CREATE INDEX message_state ON message (state, channel);
CREATE INDEX message_identity ON message (identity) WHERE identity IS NOT NULL;
CREATE INDEX message_undecided ON message (id) WHERE reply_open = 1;
CREATE INDEX message_trace ON message (trace) WHERE trace IS NOT NULL;
CREATE INDEX message_replay ON message (replay_of, state) WHERE replay_of IS NOT NULL;

-- The senders' own identities of arrivals: an Idempotency-Key, a file's place in the ledger.
CREATE TABLE arrival (
    key        BLOB PRIMARY KEY,
    message_id INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE delivery (
    id             INTEGER PRIMARY KEY,
    message_id     INTEGER NOT NULL,
    route          TEXT NOT NULL,
    destination    TEXT NOT NULL,
    lane           TEXT NOT NULL,
    state          TEXT NOT NULL,
    attempt        INTEGER NOT NULL,
    due_at         INTEGER NOT NULL,
    first_tried_at INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    settled_at     INTEGER NOT NULL,
    body_id        INTEGER,         -- NULL: the route failed, there is nothing to send
    bytes          INTEGER NOT NULL,
    content_type   TEXT NOT NULL,
    type           TEXT NOT NULL,
    control_id     TEXT NOT NULL,
    headers        TEXT NOT NULL,   -- a JSON object, '' for none
    key            TEXT NOT NULL,
    cause          TEXT NOT NULL,
    text           TEXT NOT NULL
);

-- Gives each lane's open deliveries in order, and counts without touching a row.
CREATE INDEX delivery_state ON delivery (state, destination, lane);
CREATE INDEX delivery_message ON delivery (message_id);

CREATE TABLE attempt (
    id          INTEGER PRIMARY KEY,
    delivery_id INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    cause       TEXT NOT NULL,
    text        TEXT NOT NULL,
    answer      BLOB NOT NULL
);

CREATE INDEX attempt_delivery ON attempt (delivery_id);
