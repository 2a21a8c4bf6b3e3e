-- Codes without a mapping, what is parked for them, and who takes care of dead letters. A plus before a column: see outbox.sql.

-- name: open_task
INSERT OR IGNORE INTO task (
    lookup, code, opened_at, owner, due_at, note, assigned_by, closed_at, settled_by, reason
)
VALUES (?, ?, ?, '', 0, '', '', 0, '', '');

-- name: task_of
SELECT id FROM task WHERE lookup = ? AND code = ? AND closed_at = 0;

-- name: insert_parked
INSERT INTO parked (delivery_id, message_id, task_id)
SELECT * FROM (VALUES /*each*/ (?, ?, ?) /*each*/) WHERE column1 IS NOT NULL;

-- name: open_tasks
SELECT
    id, lookup, code, opened_at, owner, due_at, note, assigned_by, closed_at, settled_by, reason,
    (SELECT count(*) FROM parked WHERE parked.task_id = task.id)
FROM task INDEXED BY task_open
WHERE closed_at = 0
ORDER BY id
LIMIT ?;

-- name: closed_tasks
SELECT id, lookup, code, opened_at, owner, due_at, note, assigned_by, closed_at, settled_by, reason, 0
FROM task
WHERE closed_at > 0
ORDER BY id DESC
LIMIT ?;

-- name: task
SELECT
    id, lookup, code, opened_at, owner, due_at, note, assigned_by, closed_at, settled_by, reason,
    (SELECT count(*) FROM parked WHERE parked.task_id = task.id)
FROM task
WHERE id = ?;

-- name: parked_of_task
SELECT delivery_id, message_id FROM parked
WHERE task_id = :task AND message_id IN (
    SELECT DISTINCT message_id FROM parked
    WHERE task_id = :task AND message_id > :after ORDER BY message_id LIMIT :limit
)
ORDER BY message_id, delivery_id;

-- name: still_parked
SELECT parked.delivery_id FROM parked JOIN delivery ON delivery.id = parked.delivery_id
WHERE parked.delivery_id IN (/*each*/ ? /*each*/) AND +delivery.state = 'parked';

-- name: take_parked
DELETE FROM parked WHERE delivery_id IN (/*each*/ ? /*each*/);

-- The row comes back under the same id, made anew.
-- name: take_parked_deliveries
DELETE FROM delivery WHERE id IN (/*each*/ ? /*each*/) AND +state = 'parked';

-- name: close_parked
UPDATE delivery SET state = 'closed', settled_at = ?, text = ? WHERE id IN (/*each*/ ? /*each*/) AND +state = 'parked';

-- name: own_body
SELECT body_id, bytes FROM message WHERE id = ?;

-- name: close_empty_task
UPDATE task SET closed_at = ?
WHERE id = ? AND closed_at = 0 AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.task_id = task.id);

-- name: assign_task
UPDATE task SET owner = ?, due_at = ?, note = ?, assigned_by = ? WHERE id = ? AND closed_at = 0;

-- name: settle_task
UPDATE task SET settled_by = ?, reason = ? WHERE id = ?;

-- name: assign_dead_letter
INSERT OR REPLACE INTO assignment (message_id, delivery_id, owner, due_at, note, assigned_by, assigned_at)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: assignments_of
SELECT message_id, delivery_id, owner, due_at, note, assigned_by, assigned_at FROM assignment
WHERE message_id IN (/*each*/ ? /*each*/)
ORDER BY message_id, delivery_id;

-- name: dead_deliveries_by_channel
SELECT
    delivery.destination,
    count(*),
    sum(iif(
        ifnull(nullif(assignment.due_at, 0), max(delivery.settled_at, delivery.created_at) + :due) < :now, 1, 0
    ))
FROM delivery LEFT JOIN assignment
    ON assignment.message_id = delivery.message_id AND assignment.delivery_id = delivery.id
WHERE delivery.state IN ('dead', 'unsure')
GROUP BY delivery.destination;

-- Those that died at their arrival, or between their routes.
-- name: dead_messages_by_channel
SELECT
    message.channel,
    count(*),
    sum(iif(ifnull(nullif(assignment.due_at, 0), message.received_at + :due) < :now, 1, 0))
FROM message LEFT JOIN assignment ON assignment.message_id = message.id AND assignment.delivery_id = 0
WHERE message.state = 'dead' AND NOT EXISTS (
    SELECT 1 FROM delivery WHERE delivery.message_id = message.id AND +delivery.state IN ('dead', 'unsure')
)
GROUP BY message.channel;

-- name: count_tasks
SELECT count(*), ifnull(sum(iif(ifnull(nullif(due_at, 0), opened_at + :due) < :now, 1, 0)), 0)
FROM task INDEXED BY task_open
WHERE closed_at = 0;
