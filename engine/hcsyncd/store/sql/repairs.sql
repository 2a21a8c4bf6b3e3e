-- What the dead letters' commands write. A plus before a column: see outbox.sql.

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
