-- Replays that were planned, and what came of each.
CREATE TABLE replay (
    id         INTEGER PRIMARY KEY,
    state      TEXT NOT NULL,
    author     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    asked      TEXT NOT NULL,    -- the request, as JSON, without a body
    created_at INTEGER NOT NULL,
    planned_at INTEGER NOT NULL, -- 0: not yet; so with the times below
    expires_at INTEGER NOT NULL,
    applied_at INTEGER NOT NULL,
    applied_by TEXT NOT NULL,
    ended_at   INTEGER NOT NULL,
    ceiling    INTEGER NOT NULL, -- the highest message when it was asked for: what came later is none of it
    position   INTEGER NOT NULL, -- planned up to this message, and with it
    digest     TEXT NOT NULL,    -- of the items, in their order
    note       TEXT NOT NULL,    -- why it is held, failed or was cancelled
    body_id    INTEGER,          -- a person's own body, in place of the one message's
    bytes      INTEGER NOT NULL, -- its length
    keys       TEXT NOT NULL     -- what it says, as JSON
);

CREATE INDEX replay_state ON replay (state);

-- One way of one message. What is to be made anew holds the delivery as it will be.
CREATE TABLE replay_item (
    id           INTEGER PRIMARY KEY,
    replay_id    INTEGER NOT NULL,
    message_id   INTEGER NOT NULL, -- the one that is sent again
    intent       INTEGER NOT NULL, -- the first of its kind
    route        TEXT NOT NULL,
    destination  TEXT NOT NULL,
    verdict      TEXT NOT NULL,    -- what the plan said
    state        TEXT NOT NULL,    -- what came of it
    cause        TEXT NOT NULL,    -- of the verdict, or of what it came to instead
    text         TEXT NOT NULL,
    earlier_id   INTEGER,          -- the delivery that it was compared with
    stands_for   INTEGER,          -- the dead letter that it settles: a delivery, or 0 for the message itself
    as_made      INTEGER NOT NULL, -- 1: that delivery goes again as it is
    generation   INTEGER NOT NULL,
    key          TEXT NOT NULL,
    lane         TEXT NOT NULL,
    content_type TEXT NOT NULL,
    type         TEXT NOT NULL,
    control_id   TEXT NOT NULL,
    headers      TEXT NOT NULL,
    found_by     TEXT NOT NULL,    -- its business keys, as JSON
    body_id      INTEGER,
    bytes        INTEGER NOT NULL,
    own_body     INTEGER NOT NULL, -- 1: the body was made by the plan, and goes with it
    copy_id      INTEGER,
    delivery_id  INTEGER,          -- what was put on the road
    applied_at   INTEGER NOT NULL
);

-- Lists a replay's items in their order.
CREATE INDEX replay_item_replay ON replay_item (replay_id);
-- Gives each destination's next item, in the order of the originals.
CREATE INDEX replay_item_next ON replay_item (replay_id, state, destination, message_id);
-- Tells whether another replay has a message in hand.
CREATE INDEX replay_item_intent ON replay_item (intent, state);
CREATE INDEX replay_item_message ON replay_item (message_id);
CREATE INDEX replay_item_copy ON replay_item (copy_id) WHERE copy_id IS NOT NULL;
CREATE INDEX replay_item_own_body ON replay_item (replay_id) WHERE own_body = 1;
