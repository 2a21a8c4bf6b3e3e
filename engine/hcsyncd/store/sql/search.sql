-- What messages are found by, and what an operator asks of rows as they come.
--
-- Rows whose first value is NULL fill a group up to a length that is kept prepared: they change nothing.

-- name: insert_business_keys
INSERT INTO business_key (message_id, delivery_id, name, value)
SELECT * FROM (VALUES /*each*/ (?, ?, ?, seal(key, ?)) /*each*/) WHERE column1 IS NOT NULL;

-- name: traced_with
SELECT ifnull(trace, id) FROM message WHERE id = ?
UNION SELECT id FROM message WHERE trace = (SELECT ifnull(trace, id) FROM message WHERE id = ?);

-- name: message_ends
SELECT (SELECT min(id) FROM message), (SELECT max(id) FROM message);

-- The index alone is read: a time's ids lie close together, and yet no clock is trusted to keep them in order.
-- name: received_span
SELECT min(id), max(id) FROM message INDEXED BY message_received_at WHERE received_at >= :since AND received_at < :until;

-- name: body_sizes
SELECT id, bytes FROM message WHERE id IN (/*each*/ ? /*each*/) ORDER BY id;

-- What was made for a delivery, where that is not what arrived.
-- name: made_sizes
SELECT delivery.id, delivery.bytes
FROM delivery JOIN message ON message.id = delivery.message_id
WHERE delivery.message_id IN (/*each*/ ? /*each*/) AND delivery.body_id <> message.body_id
ORDER BY delivery.id;

-- name: keys_of_messages
SELECT message_id, delivery_id, name, unseal(key, value) FROM business_key
WHERE message_id IN (/*each*/ ? /*each*/)
ORDER BY id;

-- name: messages_keyed
SELECT name, message_id FROM business_key WHERE value IN (/*each*/ ? /*each*/) ORDER BY message_id DESC;

-- name: open_delivery_ids
SELECT id FROM delivery
WHERE state IN ('ready', 'sending', 'waiting', 'unsure', 'parked', 'dead')
ORDER BY id LIMIT ?;

-- Open deliveries of the lane before each, and the first one that the lane may have to stand behind. Lanes are compared as
-- they are stored: equal ones are stored alike.
-- name: queued
SELECT
    own.id,
    (SELECT count(*) FROM (
        SELECT 1 FROM delivery AS other
        WHERE other.state IN ('ready', 'sending', 'waiting')
            AND other.destination = own.destination AND other.lane = own.lane AND other.id < own.id
        LIMIT :most
    )),
    (SELECT json_array(other.id, other.state) FROM delivery AS other
        WHERE other.state IN ('dead', 'unsure', 'parked')
            AND other.destination = own.destination AND other.lane = own.lane AND other.id < own.id
        ORDER BY other.id LIMIT 1),
    (SELECT task_id FROM parked WHERE delivery_id = own.id)
FROM delivery AS own
WHERE own.id IN (SELECT value FROM json_each(:ids));

-- name: waiting_before
SELECT count(*) FROM (
    SELECT 1 FROM message
    WHERE state = 'received' AND channel = (SELECT channel FROM message WHERE id = :message_id) AND id < :message_id
    LIMIT :most
);

-- name: newest_rows
SELECT
    (SELECT ifnull(max(id), 0) FROM message),
    (SELECT ifnull(max(id), 0) FROM delivery),
    (SELECT ifnull(max(id), 0) FROM attempt);

-- name: made_after
SELECT id FROM delivery WHERE id > ? ORDER BY id LIMIT ?;

-- name: tried_after
SELECT id, delivery_id, ended_at, state, cause FROM attempt WHERE id > ? ORDER BY id LIMIT ?;

-- name: reindexing
SELECT asked_at, first_id, below_id, found, ended_at FROM reindexing;

-- name: forget_reindexing
DELETE FROM reindexing;

-- name: begin_reindexing
INSERT INTO reindexing (asked_at, first_id, below_id, found, ended_at) VALUES (?, ?, ?, 0, 0);

-- name: note_reindexing
UPDATE reindexing SET below_id = ?, found = found + ?, ended_at = ?;

-- name: forget_keys
DELETE FROM business_key WHERE message_id IN (/*each*/ ? /*each*/);

-- name: facts_with
SELECT id, found FROM (SELECT id, unseal(facts, facts) AS found FROM message WHERE id > :first AND id <= :last AND facts <> '')
WHERE instr(found, :word) > 0
ORDER BY id DESC;
