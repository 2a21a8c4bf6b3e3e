-- Copies of the store, and what is checked in it. A scan of everything is what these are for.

-- name: count_rows
SELECT
    (SELECT count(*) FROM message), (SELECT count(*) FROM delivery), (SELECT count(*) FROM attempt),
    (SELECT count(*) FROM body);

-- name: raise_ids
UPDATE store SET ids_from = max(ids_from, ?);

-- name: note_backup
INSERT INTO backup (made_at, file, bytes, sha256) VALUES (?, ?, ?, ?);

-- name: last_backup
SELECT made_at, file FROM backup ORDER BY id DESC LIMIT 1;

-- Each finding: how many rows, and the first of them.

-- name: messages_without_body
SELECT count(*), min(message.id) FROM message
WHERE
    NOT EXISTS (SELECT 1 FROM body WHERE body.id = message.body_id)
    AND NOT EXISTS (SELECT 1 FROM removed WHERE removed.message_id = message.id AND removed.bodies_at > 0);

-- name: deliveries_without_body
SELECT count(*), min(delivery.id) FROM delivery
WHERE
    delivery.body_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM body WHERE body.id = delivery.body_id)
    AND NOT EXISTS (SELECT 1 FROM removed WHERE removed.message_id = delivery.message_id AND removed.bodies_at > 0);

-- name: deliveries_without_message
SELECT count(*), min(id) FROM delivery WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id = delivery.message_id);

-- name: attempts_without_delivery
SELECT count(*), min(id) FROM attempt WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.id = attempt.delivery_id);

-- name: arrivals_without_message
SELECT count(*), min(message_id) FROM arrival WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id = arrival.message_id);

-- name: unknown_states
SELECT
    (SELECT count(*) FROM message WHERE state NOT IN ('received', 'routed', 'done', 'filtered', 'unrouted', 'dead', 'closed'))
    + (
        SELECT count(*) FROM delivery
        WHERE state NOT IN ('ready', 'sending', 'waiting', 'sent', 'unsure', 'parked', 'dead', 'closed')
    ),
    NULL;

-- A message stands where its deliveries put it: see `standings`.
-- name: messages_that_stand_wrong
SELECT count(*), min(message.id) FROM message
LEFT JOIN (
    SELECT
        message_id,
        CASE
            WHEN max(state IN ('ready', 'sending', 'waiting', 'unsure', 'parked')) THEN 'routed'
            WHEN max(state = 'dead') THEN 'dead'
            WHEN max(state = 'sent') THEN 'done'
            ELSE 'closed'
        END AS standing
    FROM delivery GROUP BY message_id
) AS its ON its.message_id = message.id
WHERE
    (message.state = 'routed' AND its.standing IS NOT 'routed')
    OR (message.state = 'done' AND its.standing IS NOT 'done')
    OR (message.state = 'received' AND its.standing IS NOT NULL)
    OR (message.state IN ('filtered', 'unrouted') AND its.standing IS NOT NULL)
    OR (message.state IN ('dead', 'closed') AND its.standing = 'routed');

-- name: balance
SELECT
    (SELECT count(*) FROM message),
    (SELECT count(*) FROM message WHERE state = 'done'),
    (SELECT count(*) FROM message WHERE state IN ('filtered', 'unrouted')),
    (SELECT count(*) FROM message WHERE state IN ('dead', 'closed')),
    (SELECT count(*) FROM message WHERE state IN ('received', 'routed'));

-- What an extract for analysts is made from: all rows, read once.

-- name: export_messages
SELECT
    id, channel, received_at, type, control_id, sender, receiver, state, reply_state, cause, bytes, peer, trace, parent,
    replay_of
FROM message ORDER BY id;

-- name: export_deliveries
SELECT
    id, message_id, route, destination, unseal(lane, lane), state, attempt, due_at, first_tried_at, created_at, settled_at,
    bytes, content_type, type, control_id, cause, generation
FROM delivery ORDER BY id;

-- name: export_attempts
SELECT id, delivery_id, started_at, ended_at, state, cause, length(unseal(answer, answer, delivery_id)) FROM attempt ORDER BY id;

-- name: export_business_keys
SELECT id, message_id, delivery_id, name, unseal(key, value) FROM business_key ORDER BY id;
