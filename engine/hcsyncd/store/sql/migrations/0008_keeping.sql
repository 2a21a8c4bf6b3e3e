-- What retention has removed of messages that are still listed: their bodies, the answers given and got. 0: still there.
CREATE TABLE removed (
    message_id INTEGER PRIMARY KEY,
    bodies_at  INTEGER NOT NULL,
    answers_at INTEGER NOT NULL
);

-- Takes the senders' own identities of a message away with it.
CREATE INDEX arrival_message ON arrival (message_id);

-- Deliveries that keep their first and last attempts alone: how many came first, and how many are gone behind them.
CREATE TABLE folded (
    delivery_id INTEGER PRIMARY KEY,
    first       INTEGER NOT NULL,
    gone        INTEGER NOT NULL
);

-- One row: the wall time that retention last went by, since when it doubts the clock (0: it does not), and the highest
-- body id when bodies were last removed: rows still name them, so that none of these ids may be given again.
CREATE TABLE retention (
    seen_at      INTEGER NOT NULL,
    doubted_at   INTEGER NOT NULL,
    highest_body INTEGER NOT NULL
);

INSERT INTO retention (seen_at, doubted_at, highest_body) VALUES (0, 0, 0);
