-- What a person stopped.

-- name: holds
SELECT kind, channel, held_by, held_at, reason FROM hold ORDER BY kind, channel;

-- name: put_hold
INSERT OR REPLACE INTO hold (kind, channel, held_by, held_at, reason) VALUES (?, ?, ?, ?, ?);

-- name: lift_hold
DELETE FROM hold WHERE kind = ? AND channel = ?;
