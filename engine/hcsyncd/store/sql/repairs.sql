-- What replay and the dead letters' commands write. A plus before a column: see outbox.sql.

-- The copy holds no identity: the sender's own resend is judged by the original.
-- name: copy_message
INSERT INTO message (
    id, channel, received_at, type, control_id, sender, receiver, state, reply_state, cause, text, body_id, bytes, peer, facts,
    identity, fingerprint, reply, application_reply, reply_open, trace, parent, replay_of, only_route, only_destination
)
SELECT
    :copy_id, channel, :now, type, control_id, sender, receiver, 'received', 'not_owed', '', '', body_id, bytes, peer, facts,
    NULL, fingerprint, x'', x'', 0, ifnull(trace, id), id, ifnull(replay_of, id), :route, :destination
FROM message
WHERE id = :message_id;

-- name: repair_body
UPDATE message SET body_id = ?, bytes = ? WHERE id = ?;

-- name: repair_keys
UPDATE message SET type = ?, control_id = ?, sender = ?, receiver = ? WHERE id = ?;

-- name: close_replayed_deliveries
UPDATE delivery SET state = 'closed', settled_at = :now, text = :reason
WHERE message_id = :message_id
    AND +state IN ('dead', 'unsure')
    AND (:route = '' OR route = :route)
    AND (:destination = '' OR destination = :destination);

-- name: count_troubled_deliveries
SELECT count(*) FROM delivery WHERE message_id = ? AND +state IN ('dead', 'unsure');

-- name: close_dead_message
UPDATE message SET state = 'closed', text = :reason WHERE id = :message_id AND +state = 'dead';

-- name: troubled_with_bodies
SELECT id, message_id FROM delivery
WHERE id IN (/*each*/ ? /*each*/) AND +state IN ('dead', 'unsure') AND body_id IS NOT NULL;

-- name: reopen_deliveries
UPDATE delivery SET state = 'ready', attempt = 0, due_at = 0, first_tried_at = 0, settled_at = 0, cause = '', text = ''
WHERE id IN (/*each*/ ? /*each*/);

-- name: troubled_messages
SELECT DISTINCT message_id FROM delivery WHERE id IN (/*each*/ ? /*each*/) AND +state IN ('dead', 'unsure');

-- name: close_deliveries
UPDATE delivery SET state = 'closed', settled_at = ?, text = ?
WHERE id IN (/*each*/ ? /*each*/) AND +state IN ('dead', 'unsure');

-- name: close_deliveries_of_messages
UPDATE delivery SET state = 'closed', settled_at = ?, text = ?
WHERE message_id IN (/*each*/ ? /*each*/) AND +state IN ('dead', 'unsure');
