-- The keys that values are sealed under, and the sealing of what is stored already.

-- name: data_keys
SELECT number, master, wrapped, made_at FROM data_key ORDER BY number;

-- name: insert_data_key
INSERT INTO data_key (number, made_at, master, wrapped) VALUES (?, ?, ?, ?);

-- name: rewrap_data_key
UPDATE data_key SET master = ?, wrapped = ? WHERE number = ?;

-- name: drop_old_data_keys
DELETE FROM data_key WHERE number NOT IN (0, ?);

-- name: resealing_parts
SELECT part, done_id, failed FROM resealing ORDER BY part;

-- name: begin_resealing
INSERT OR REPLACE INTO resealing (part, done_id, failed) VALUES (?, 0, 0);

-- name: note_resealed
INSERT INTO resealing (part, done_id, failed) VALUES (?, ?, ?)
ON CONFLICT (part) DO UPDATE SET done_id = excluded.done_id, failed = failed + excluded.failed;

-- name: end_resealing
DELETE FROM resealing;

-- name: note_remnants
UPDATE store SET remnants = (SELECT max(id) FROM message) IS NOT NULL;

-- name: has_remnants
SELECT remnants FROM store;

-- name: end_remnants
UPDATE store SET remnants = 0;

-- Each part of the store that holds sealed values: the row, what its bytes are bound to, and the values.

-- name: reseal_body
SELECT id, id, bytes FROM body WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_body
UPDATE body SET bytes = ?2 WHERE id = ?1;

-- name: reseal_message
SELECT id, id, reply, application_reply, facts FROM message WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_message
UPDATE message SET reply = ?2, application_reply = ?3, facts = ?4 WHERE id = ?1;

-- name: reseal_delivery
SELECT id, id, lane, headers FROM delivery WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_delivery
UPDATE delivery SET lane = ?2, headers = ?3 WHERE id = ?1;

-- name: reseal_attempt
SELECT id, delivery_id, answer FROM attempt WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_attempt
UPDATE attempt SET answer = ?2 WHERE id = ?1;

-- name: reseal_business_key
SELECT id, id, value FROM business_key WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_business_key
UPDATE business_key SET value = ?2 WHERE id = ?1;

-- name: reseal_replay
SELECT id, id, asked FROM replay WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_replay
UPDATE replay SET asked = ?2 WHERE id = ?1;

-- name: reseal_replay_item
SELECT id, id, lane, headers, found_by FROM replay_item WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_replay_item
UPDATE replay_item SET lane = ?2, headers = ?3, found_by = ?4 WHERE id = ?1;

-- name: reseal_configuration
SELECT id, id, bytes FROM configuration_content WHERE id > ? ORDER BY id LIMIT ?;

-- name: resealed_configuration
UPDATE configuration_content SET bytes = ?2 WHERE id = ?1;

-- name: last_rows
SELECT
    (SELECT ifnull(max(id), 0) FROM body),
    (SELECT ifnull(max(id), 0) FROM business_key),
    (SELECT ifnull(max(id), 0) FROM replay),
    (SELECT ifnull(max(id), 0) FROM replay_item),
    (SELECT ifnull(max(id), 0) FROM delivery),
    (SELECT ifnull(max(id), 0) FROM message),
    (SELECT ifnull(max(id), 0) FROM attempt),
    (SELECT ifnull(max(id), 0) FROM configuration_content);
