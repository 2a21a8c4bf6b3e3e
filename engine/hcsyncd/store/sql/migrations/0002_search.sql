-- What messages are found by: business keys, control ids, times.

-- What a message, or what was made of it, says of itself at the paths that its channel declares.
CREATE TABLE business_key (
    id          INTEGER PRIMARY KEY,
    message_id  INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL, -- 0: said by what arrived; else by what was made for that delivery
    name        TEXT NOT NULL,
    value       TEXT NOT NULL     -- sealed where the store is
);

CREATE INDEX business_key_value ON business_key (value, name, message_id);
CREATE INDEX business_key_message ON business_key (message_id);

CREATE INDEX message_control_id ON message (control_id);
CREATE INDEX message_received_at ON message (received_at);

-- At most one row: messages stored before are read for their keys, from the newest to the oldest.
CREATE TABLE reindexing (
    asked_at INTEGER NOT NULL,
    first_id INTEGER NOT NULL, -- the newest message when it was asked for
    below_id INTEGER NOT NULL, -- messages from here on up are done
    found    INTEGER NOT NULL, -- keys written
    ended_at INTEGER NOT NULL  -- 0: under way
);
