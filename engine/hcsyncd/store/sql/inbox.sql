-- What intake, the processor and the responder write and read.
--
-- Rows whose first value is NULL fill a group up to a length that is kept prepared: they change nothing.

-- name: messages_by_identity
SELECT identity, id, fingerprint FROM message WHERE identity IN (/*each*/ ? /*each*/) ORDER BY id;

-- name: arrivals_by_key
SELECT key, message_id FROM arrival WHERE key IN (/*each*/ ? /*each*/);

-- name: insert_bodies
INSERT INTO body (id, bytes) SELECT * FROM (VALUES /*each*/ (?, seal(body, ?)) /*each*/) WHERE column1 IS NOT NULL;

-- name: insert_messages
INSERT INTO message (
    id, channel, received_at, type, control_id, sender, receiver, state, reply_state, cause, text, body_id, bytes, peer, facts,
    identity, fingerprint, reply, application_reply, reply_open, trace, parent, replay_of,
    only_route, only_destination
)
SELECT * FROM (
    VALUES
    /*each*/ (
        ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, seal(facts, ?),
        ?, ?, seal(reply, ?), seal(application_reply, ?), ?, ?, ?, ?, ?, ?
    ) /*each*/
) WHERE column1 IS NOT NULL;

-- name: insert_arrivals
INSERT INTO arrival (key, message_id) SELECT * FROM (VALUES /*each*/ (?, ?) /*each*/) WHERE column1 IS NOT NULL;

-- name: replies_by_message
SELECT id, unseal(reply, reply, id), unseal(application_reply, application_reply, id), reply_state, reply_open
FROM message
WHERE id IN (/*each*/ ? /*each*/);

-- name: decide_replies
UPDATE message SET reply = decided.column2, application_reply = decided.column3, reply_open = 0
FROM (VALUES /*each*/ (?, seal(reply, ?), seal(application_reply, ?)) /*each*/) AS decided
WHERE message.id = decided.column1;

-- name: free_identities
UPDATE message SET identity = NULL WHERE id IN (/*each*/ ? /*each*/);

-- name: mark_replied
UPDATE message SET reply_state = ? WHERE id IN (/*each*/ ? /*each*/);

-- name: undecided_messages
SELECT id FROM message WHERE reply_open = 1 ORDER BY id;

-- name: received_sizes
SELECT id, bytes FROM message WHERE state = 'received' AND channel = ? AND id > ? ORDER BY id LIMIT ?;

-- name: messages_with_bodies
SELECT
    message.id, channel, received_at, type, control_id, sender, receiver, unseal(body, body.bytes, body.id), trace, parent, replay_of,
    only_route, only_destination, peer, unseal(facts, facts)
FROM message JOIN body ON body.id = message.body_id
WHERE message.id IN (/*each*/ ? /*each*/)
ORDER BY message.id;

-- name: count_received
SELECT count(*) FROM message WHERE state = 'received';

-- name: last_ids
SELECT
    max((SELECT ifnull(max(id), 0) FROM message), ids_from),
    max((SELECT ifnull(max(id), 0) FROM delivery), ids_from),
    max((SELECT ifnull(max(id), 0) FROM body), (SELECT highest_body FROM retention), ids_from)
FROM store;

-- name: store_name
SELECT name FROM store;
