-- The audit log.

-- name: audit_head
SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1;

-- name: append_audit
INSERT INTO audit (number, at, user_id, user, process_id, verb, access, what, outcome, key_id, previous, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: audit_columns
SELECT number, at, user_id, user, process_id, verb, access, what, outcome, key_id, previous, hash FROM audit;

-- name: count_audit
SELECT count(*) FROM audit;

-- name: audit_entry
SELECT number, hash FROM audit WHERE number = ?;

-- name: audit_first
SELECT number FROM audit ORDER BY number LIMIT 1;

-- name: audit_first_since
SELECT number FROM audit WHERE number <= ? AND at >= ? ORDER BY number LIMIT 1;

-- name: delete_audit
DELETE FROM audit WHERE number <= ?;

-- name: audit_pseudonym_key
SELECT key FROM audit_pseudonym;
