-- Every configuration that was live, with its files.

-- name: next_configuration
SELECT ifnull(max(number), 0) + 1 FROM configuration;

-- name: insert_configuration
INSERT INTO configuration (number, digest, began_at, ended_at, author, reason, outcome, why, changes)
VALUES (:number, :digest, :now, CASE :outcome WHEN 'saved' THEN :now ELSE 0 END, :author, :reason, :outcome, '', :changes);

-- name: configuration_content
SELECT id FROM configuration_content WHERE digest = ?;

-- name: next_configuration_content
SELECT ifnull(max(id), 0) + 1 FROM configuration_content;

-- name: insert_configuration_content
INSERT INTO configuration_content (id, digest, bytes) VALUES /*each*/ (?, ?, seal(configuration, ?)) /*each*/;

-- name: insert_configuration_file
INSERT INTO configuration_file (number, name, content_id) VALUES (?, ?, ?);

-- name: supersede_configurations
UPDATE configuration SET outcome = 'superseded', ended_at = :now
WHERE outcome IN ('live', 'starting') AND number <> :number;

-- name: settle_configuration
UPDATE configuration SET
    outcome = :outcome,
    why = :why,
    ended_at = CASE WHEN :outcome IN ('live', 'starting') THEN 0 ELSE :now END
WHERE number = :number;

-- name: drop_configuration
DELETE FROM configuration WHERE number = ?;

-- name: drop_configuration_files
DELETE FROM configuration_file WHERE number = ?;

-- Only when a configuration is dropped, which is rare: there is no index on the contents of files.
-- name: drop_unused_contents
DELETE FROM configuration_content WHERE id NOT IN (SELECT content_id FROM configuration_file);

-- name: configurations
SELECT number, digest, began_at, ended_at, author, reason, outcome, why, changes
FROM configuration
WHERE number < :before
ORDER BY number DESC
LIMIT :limit;

-- name: last_configuration
SELECT number, digest, began_at, ended_at, author, reason, outcome, why, changes
FROM configuration
WHERE outcome IN ('live', 'starting')
ORDER BY number DESC
LIMIT 1;

-- name: configuration_files
SELECT
    configuration_file.name,
    unseal(configuration, configuration_content.bytes, configuration_content.id)
FROM configuration_file JOIN configuration_content ON configuration_content.id = configuration_file.content_id
WHERE configuration_file.number = ?
ORDER BY configuration_file.name;

-- What became of the latest arrivals and deliveries, by channel: a stretch of the newest ids is read, and nothing more.
-- name: recent_states
SELECT channel, state, count(*) FROM message NOT INDEXED
WHERE id > (SELECT ifnull(max(id), 0) FROM message) - :rows AND replay_of IS NULL
GROUP BY channel, state
UNION ALL
SELECT destination, state, count(*) FROM delivery NOT INDEXED
WHERE id > (SELECT ifnull(max(id), 0) FROM delivery) - :rows
GROUP BY destination, state;

-- What a change would reach: received messages by source channel, and unsettled deliveries by route and destination.
-- name: queued_messages
SELECT channel, count(*) FROM message WHERE state = 'received' GROUP BY channel;

-- name: queued_deliveries
SELECT route, destination, state, count(*) FROM delivery
WHERE state IN ('ready', 'waiting', 'sending', 'unsure', 'parked', 'dead')
GROUP BY route, destination, state;
