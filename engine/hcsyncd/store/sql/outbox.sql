-- What the processor and the dispatchers write and read.
--
-- Rows whose first value is NULL fill a group up to a length that is kept prepared: they change nothing.
--
-- A plus before a column keeps the planner from leading with that column's index where a list of ids is the narrower way.

-- One row for the whole batch: each row fetched hands the interpreter lock back and forth once.
-- name: still_received
SELECT json_group_array(json_array(id, body_id, bytes)) FROM message WHERE id IN (/*each*/ ? /*each*/) AND +state = 'received';

-- name: hand_on_messages
UPDATE message SET state = ?, cause = ?, text = ?, reply_state = ifnull(?, reply_state) WHERE id IN (/*each*/ ? /*each*/);

-- name: insert_deliveries
INSERT INTO delivery (
    id, message_id, route, destination, lane, state, attempt, due_at, first_tried_at, created_at, settled_at, body_id, bytes,
    content_type, type, control_id, headers, key, cause, text, generation
)
SELECT * FROM (
    VALUES /*each*/ (?, ?, ?, ?, seal(lane, ?), ?, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, seal(headers, ?), ?, ?, ?, ?) /*each*/
) WHERE column1 IS NOT NULL;

-- name: claim_deliveries
UPDATE delivery SET state = 'sending' WHERE id IN (/*each*/ ? /*each*/) AND +state IN ('ready', 'waiting');

-- name: insert_attempts
INSERT INTO attempt (delivery_id, started_at, ended_at, state, cause, text, answer)
SELECT * FROM (VALUES /*each*/ (?, ?, ?, ?, ?, ?, seal(answer, ?)) /*each*/) WHERE column1 IS NOT NULL;

-- name: settle_deliveries
UPDATE delivery SET
    state = outcome.column2,
    attempt = outcome.column3,
    due_at = outcome.column4,
    first_tried_at = CASE first_tried_at WHEN 0 THEN outcome.column5 ELSE first_tried_at END,
    settled_at = outcome.column6,
    cause = outcome.column7,
    text = outcome.column8
FROM (VALUES /*each*/ (?, ?, ?, ?, ?, ?, ?, ?) /*each*/) AS outcome
WHERE delivery.id = outcome.column1;

-- Where messages stand, by their deliveries alone.
-- name: standings
SELECT json_group_array(json_array(message_id, standing)) FROM (
    SELECT
        message_id,
        CASE
            WHEN max(state IN ('ready', 'sending', 'waiting', 'unsure', 'parked')) THEN 'routed'
            WHEN max(state = 'dead') THEN 'dead'
            WHEN max(state = 'sent') THEN 'done'
            ELSE 'closed'
        END AS standing
    FROM delivery
    WHERE message_id IN (/*each*/ ? /*each*/)
    GROUP BY message_id
);

-- name: stand_messages
UPDATE message SET state = ?1 WHERE id IN (/*each*/ ? /*each*/) AND +state IN ('routed', 'dead') AND +state <> ?1;

-- Each state's share comes in order from the index, so that a long queue is never sorted.
-- name: open_sizes
SELECT id, bytes FROM (
    SELECT * FROM (
        SELECT id, bytes FROM delivery
        WHERE state = 'ready' AND destination = :destination AND lane = :lane AND id > :after ORDER BY id LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT id, bytes FROM delivery
        WHERE state = 'waiting' AND destination = :destination AND lane = :lane AND id > :after ORDER BY id LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT id, bytes FROM delivery
        WHERE state = 'sending' AND destination = :destination AND lane = :lane AND id > :after ORDER BY id LIMIT :limit
    )
)
ORDER BY id
LIMIT :limit;

-- One lane is in several groups while its values are under several keys.
-- name: open_lanes
SELECT lane, count(*), max(id) FROM delivery
WHERE state IN ('ready', 'waiting', 'sending') AND destination = ?
GROUP BY lane;

-- name: blocked_lanes
SELECT lane, route, state, json_group_array(id) FROM delivery
WHERE state IN ('dead', 'unsure', 'parked') AND destination = ?
GROUP BY lane, route, state ORDER BY lane, route, state;

-- name: deliveries_with_bodies
SELECT
    delivery.id, message_id, route, destination, unseal(lane, lane), state, attempt, due_at, first_tried_at, created_at,
    unseal(body, body.bytes, body.id), content_type, type, control_id, unseal(headers, headers), key
FROM delivery JOIN body ON body.id = delivery.body_id
WHERE delivery.id IN (/*each*/ ? /*each*/)
ORDER BY delivery.id;

-- name: count_open
SELECT state, count(*) FROM delivery WHERE state IN ('ready', 'sending', 'waiting') GROUP BY state;
