-- Replays: planned, applied step by step, told about. A plus before a column: see outbox.sql.

-- name: insert_replay
INSERT INTO replay (
    id, state, author, reason, asked, created_at, planned_at, expires_at, applied_at, applied_by, ended_at, ceiling, position,
    digest, note, body_id, bytes, keys
)
SELECT * FROM (
    VALUES /*each*/ (?, 'planning', ?, ?, seal(asked, ?), ?, 0, 0, 0, '', 0, ?, 0, '', '', ?, ?, ?) /*each*/
) WHERE column1 IS NOT NULL;

-- name: last_replay
SELECT ifnull(max(id), 0) FROM replay;

-- name: replay_row
SELECT
    id, state, author, reason, unseal(asked, asked), created_at, planned_at, expires_at, applied_at, applied_by, ended_at,
    ceiling, position, digest, note, bytes, keys
FROM replay
WHERE id = ?;

-- name: replay_rows
SELECT
    id, state, author, reason, unseal(asked, asked), created_at, planned_at, expires_at, applied_at, applied_by, ended_at,
    ceiling, position, digest, note, bytes, keys
FROM replay
WHERE id < ?
ORDER BY id DESC
LIMIT ?;

-- name: replays_in_state
SELECT
    id, state, author, reason, unseal(asked, asked), created_at, planned_at, expires_at, applied_at, applied_by, ended_at,
    ceiling, position, digest, note, bytes, keys
FROM replay
WHERE state = ?
ORDER BY id;

-- name: replay_edited_body
SELECT body_id, bytes FROM replay WHERE id = ?;

-- name: advance_plan
UPDATE replay SET position = :position, digest = :digest WHERE id = :replay_id;

-- name: end_planning
UPDATE replay SET state = 'planned', planned_at = :now, expires_at = :expires_at WHERE id = :replay_id;

-- name: apply_replay
UPDATE replay SET state = 'running', applied_at = :now, applied_by = :by WHERE id = :replay_id;

-- name: hold_replay
UPDATE replay SET state = 'held', note = :note WHERE id = :replay_id;

-- name: resume_replay
UPDATE replay SET state = 'running', note = '' WHERE id = :replay_id;

-- name: end_replay
UPDATE replay SET state = :state, ended_at = :now, note = :note WHERE id = :replay_id;

-- name: expired_replays
SELECT id FROM replay WHERE state = 'planned' AND expires_at <= ?;

-- name: insert_replay_items
INSERT INTO replay_item (
    replay_id, message_id, intent, route, destination, verdict, state, cause, text, earlier_id, stands_for, as_made, generation,
    key, lane, content_type, type, control_id, headers, found_by, body_id, bytes, own_body, copy_id, delivery_id, applied_at
)
SELECT * FROM (
    VALUES /*each*/ (
        ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, seal(lane, ?), ?, ?, ?, seal(headers, ?), seal(found_by, ?), ?, ?, ?,
        NULL, NULL, 0
    ) /*each*/
) WHERE column1 IS NOT NULL;

-- name: replays_in_hand
SELECT DISTINCT replay_item.intent, replay.id, replay.state, replay.expires_at
FROM replay_item CROSS JOIN replay ON replay.id = replay_item.replay_id
WHERE replay_item.intent IN (/*each*/ ? /*each*/)
    AND replay_item.state = 'pending'
    AND replay.state IN ('planning', 'planned', 'running', 'held');

-- name: message_body_place
SELECT body_id, bytes FROM message WHERE id = ?;

-- name: delivery_body_place
SELECT body_id, bytes FROM delivery WHERE id = ?;

-- name: has_body
SELECT 1 FROM body WHERE id = ?;

-- name: next_replay_item
SELECT message_id, as_made FROM replay_item
WHERE replay_id = ? AND state = 'pending' AND destination = ?
ORDER BY message_id, id
LIMIT 1;

-- name: pending_items
SELECT
    id, intent, route, stands_for, as_made, generation, key, unseal(lane, lane), content_type, type, control_id,
    unseal(headers, headers), unseal(found_by, found_by), body_id, bytes
FROM replay_item
WHERE replay_id = ? AND state = 'pending' AND destination = ? AND message_id = ?
ORDER BY id;

-- name: has_pending_items
SELECT 1 FROM replay_item WHERE replay_id = ? AND state = 'pending' LIMIT 1;

-- name: same_key
SELECT id, state FROM delivery
WHERE message_id IN (
    SELECT id FROM message WHERE id = :intent UNION ALL SELECT id FROM message WHERE replay_of = :intent
) AND key = :key;

-- name: delivery_state_by_id
SELECT state, message_id FROM delivery WHERE id = ?;

-- name: message_state_by_id
SELECT state FROM message WHERE id = ?;

-- name: replayed_before
SELECT 1 FROM replay_item WHERE message_id = ? AND replay_id = ? AND copy_id IS NOT NULL LIMIT 1;

-- The copy holds no identity: the sender's own resend is judged by the original.
-- name: replay_message
INSERT INTO message (
    id, channel, received_at, type, control_id, sender, receiver, state, reply_state, cause, text, body_id, bytes, peer, facts,
    identity, fingerprint, reply, application_reply, reply_open, trace, parent, replay_of, only_route, only_destination
)
SELECT
    :copy_id, channel, :now, type, control_id, sender, receiver, 'routed', 'not_owed', '', '', body_id, bytes, peer, facts,
    NULL, fingerprint, x'', x'', 0, ifnull(trace, id), id, ifnull(replay_of, id), '', ''
FROM message
WHERE id = :message_id;

-- name: edit_body
UPDATE message SET body_id = ?, bytes = ? WHERE id = ?;

-- name: edit_keys
UPDATE message SET type = ?, control_id = ?, sender = ?, receiver = ? WHERE id = ?;

-- name: settle_item
UPDATE replay_item SET state = ?, cause = ?, text = ?, applied_at = ? WHERE id = ?;

-- name: apply_item
UPDATE replay_item SET state = 'applied', copy_id = ?, delivery_id = ?, own_body = 0, applied_at = ? WHERE id = ?;

-- name: unsent_bodies
SELECT replay_item.id, replay_item.body_id
FROM replay JOIN replay_item INDEXED BY replay_item_own_body ON replay_item.replay_id = replay.id
WHERE replay.state IN ('done', 'cancelled', 'expired', 'failed') AND replay_item.own_body = 1
LIMIT ?;

-- A person's own body that no copy was made with.
-- name: unsent_edits
SELECT id, body_id FROM replay
WHERE
    state IN ('done', 'cancelled', 'expired', 'failed') AND body_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM replay_item WHERE replay_item.replay_id = replay.id AND copy_id IS NOT NULL)
LIMIT ?;

-- name: forget_edits
UPDATE replay SET body_id = NULL WHERE id IN (/*each*/ ? /*each*/);

-- name: forget_bodies
DELETE FROM body WHERE id IN (/*each*/ ? /*each*/);

-- name: forget_item_bodies
UPDATE replay_item SET own_body = 0, body_id = NULL WHERE id IN (/*each*/ ? /*each*/);

-- name: replay_items
SELECT
    replay_item.id, replay_item.message_id, replay_item.route, replay_item.destination, replay_item.verdict, replay_item.state,
    replay_item.cause, replay_item.text, replay_item.earlier_id, replay_item.as_made, replay_item.generation, replay_item.key,
    replay_item.bytes, replay_item.copy_id, replay_item.delivery_id, delivery.state, replay_item.applied_at
FROM replay_item INDEXED BY replay_item_replay LEFT JOIN delivery ON delivery.id = replay_item.delivery_id
WHERE replay_item.replay_id = ? AND replay_item.id > ?
ORDER BY replay_item.id
LIMIT ?;

-- name: replay_tallies
SELECT replay_item.verdict, replay_item.state, delivery.state, count(*)
FROM replay_item LEFT JOIN delivery ON delivery.id = replay_item.delivery_id
WHERE replay_item.replay_id = ?
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: replay_destinations
SELECT DISTINCT destination FROM replay_item WHERE replay_id = ? AND state = 'pending';

-- name: replay_under_way
SELECT replay_item.delivery_id, replay_item.destination, replay_item.as_made
FROM replay_item JOIN delivery ON delivery.id = replay_item.delivery_id
WHERE replay_item.replay_id = ? AND replay_item.state = 'applied' AND +delivery.state IN ('ready', 'sending', 'waiting');

-- name: open_among
SELECT id FROM delivery WHERE id IN (/*each*/ ? /*each*/) AND +state IN ('ready', 'sending', 'waiting');

-- name: kin
SELECT id, ifnull(replay_of, id) FROM message WHERE id IN (/*each*/ ? /*each*/);

-- name: kin_copies
SELECT id, replay_of FROM message WHERE replay_of IN (/*each*/ ? /*each*/);

-- name: replay_links
SELECT replay_item.replay_id, replay_item.message_id, replay_item.copy_id, replay.state
FROM replay_item JOIN replay ON replay.id = replay_item.replay_id
WHERE replay_item.message_id = :message_id
UNION
SELECT replay_item.replay_id, replay_item.message_id, replay_item.copy_id, replay.state
FROM replay_item JOIN replay ON replay.id = replay_item.replay_id
WHERE replay_item.copy_id = :message_id
ORDER BY 1, 3;
