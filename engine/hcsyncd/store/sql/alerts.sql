-- Alerts, and what they are judged by.

-- name: insert_alert
INSERT INTO alert (
    kind, subject, owner, text, raised_at, reminded_at, reminders, acknowledged_at, acknowledged_by, note, cleared_at
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: update_alert
UPDATE alert SET
    owner = ?2, text = ?3, reminded_at = ?4, reminders = ?5, acknowledged_at = ?6, acknowledged_by = ?7, note = ?8,
    cleared_at = ?9
WHERE id = ?1;

-- name: open_alerts
SELECT
    id, kind, subject, owner, text, raised_at, reminded_at, reminders, acknowledged_at, acknowledged_by, note, cleared_at
FROM alert WHERE cleared_at = 0 ORDER BY id;

-- name: alert_history
SELECT
    id, kind, subject, owner, text, raised_at, reminded_at, reminders, acknowledged_at, acknowledged_by, note, cleared_at
FROM alert
WHERE id < :before AND (:kind = '' OR kind = :kind) AND (:subject = '' OR subject = :subject)
ORDER BY id DESC
LIMIT :limit;

-- What stands still until a person acts, by destination.
-- name: troubled_deliveries
SELECT destination, state, count(*) FROM delivery WHERE state IN ('dead', 'unsure', 'parked') GROUP BY state, destination;

-- Dead letters that never came as far as a delivery, by source.
-- name: dead_at_arrival
SELECT channel, count(*) FROM message
WHERE state = 'dead' AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message_id = message.id)
GROUP BY channel;

-- The newest message of a channel in one state.
-- name: newest_in_state
SELECT id, received_at FROM message WHERE state = ? AND channel = ? ORDER BY id DESC LIMIT 1;
