-- What retention walks, measures and removes. Lists of ids come as JSON arrays, so that one statement takes any number.

-- One step along the settled messages of a channel in one state: how far it went, the roots of those that still have the
-- class of data and are due, and the first that is not due yet. The inner select touches the index alone.
-- name: walk_settled
SELECT
    max(walked.id),
    count(*),
    json_group_array(DISTINCT ifnull(message.replay_of, message.id)) FILTER (
        WHERE message.received_at < :before OR message.id < :below
    ),
    min(message.id) FILTER (WHERE message.received_at >= :before AND message.id >= :below)
FROM (
    SELECT id FROM message WHERE state = :state AND channel = :channel AND id > :after ORDER BY id LIMIT :limit
) AS walked
LEFT JOIN removed ON removed.message_id = walked.id
LEFT JOIN message ON message.id = CASE :data -- NULL, and so no row is looked for, where there is nothing to remove
    WHEN 'bodies' THEN iif(ifnull(removed.bodies_at, 0) = 0, walked.id, NULL)
    WHEN 'answers' THEN iif(ifnull(removed.answers_at, 0) = 0, walked.id, NULL)
    ELSE walked.id
END;

-- Which of these families may lose a class of data now, with their messages. Settled through and through, due to the
-- youngest, in no open replay, and nowhere the newest row of a table that ids continue from.
-- name: removable_families
WITH family (root, id) AS (
    SELECT value, value FROM json_each(:roots)
    UNION ALL
    SELECT message.replay_of, message.id
    FROM json_each(:roots) AS root CROSS JOIN message INDEXED BY message_replay ON message.replay_of = root.value
),
settled (root, members, messages, bytes) AS MATERIALIZED (
    SELECT family.root, json_group_array(message.id), count(*), sum(message.bytes)
    FROM family
    CROSS JOIN message ON message.id = family.id
    LEFT JOIN removed ON removed.message_id = message.id
    GROUP BY family.root
    HAVING
        min(message.state IN ('done', 'filtered', 'unrouted', 'closed'))
        AND NOT max(message.reply_open)
        AND (max(message.received_at) < :before OR max(message.id) < :below)
        AND max(message.id) < (SELECT max(id) FROM message)
        AND max(message.body_id) < (SELECT max(id) FROM body)
        AND (:data <> 'metadata' OR min(ifnull(removed.bodies_at, 0)) > 0)
)
SELECT root, members, messages, bytes FROM settled
WHERE NOT EXISTS (
    SELECT 1
    FROM replay_item JOIN replay ON replay.id = replay_item.replay_id
    WHERE replay_item.intent = settled.root AND replay.state IN ('planning', 'planned', 'running', 'held')
) AND NOT EXISTS (
    SELECT 1
    FROM json_each(settled.members) AS member
    CROSS JOIN delivery INDEXED BY delivery_message ON delivery.message_id = member.value
    WHERE
        delivery.state NOT IN ('sent', 'closed')
        OR delivery.id = (SELECT max(id) FROM delivery)
        OR delivery.body_id = (SELECT max(id) FROM body)
);

-- name: bytes_of_bodies
SELECT ifnull(sum(length(bytes)), 0) FROM body WHERE id IN (
    SELECT body_id FROM message WHERE id IN (SELECT value FROM json_each(:members))
    UNION
    SELECT body_id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members)) AND body_id IS NOT NULL
);

-- name: remove_bodies
DELETE FROM body WHERE id IN (
    SELECT body_id FROM message WHERE id IN (SELECT value FROM json_each(:members))
    UNION
    SELECT body_id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members)) AND body_id IS NOT NULL
);

-- name: bytes_of_answers
SELECT
    (
        SELECT ifnull(sum(length(reply) + length(application_reply)), 0) FROM message
        WHERE id IN (SELECT value FROM json_each(:members))
    ) + (
        SELECT ifnull(sum(length(answer)), 0) FROM attempt
        WHERE delivery_id IN (
            SELECT id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members))
        )
    );

-- name: remove_replies
UPDATE message SET reply = x'', application_reply = x''
WHERE id IN (SELECT value FROM json_each(:members)) AND length(reply) + length(application_reply) > 0;

-- name: remove_answers
UPDATE attempt SET answer = x''
WHERE
    delivery_id IN (SELECT id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members)))
    AND length(answer) > 0;

-- name: note_bodies_removed
INSERT INTO removed (message_id, bodies_at, answers_at) SELECT value, :now, 0 FROM json_each(:members) WHERE true
ON CONFLICT (message_id) DO UPDATE SET bodies_at = excluded.bodies_at WHERE bodies_at = 0;

-- name: note_answers_removed
INSERT INTO removed (message_id, bodies_at, answers_at) SELECT value, 0, :now FROM json_each(:members) WHERE true
ON CONFLICT (message_id) DO UPDATE SET answers_at = excluded.answers_at WHERE answers_at = 0;

-- What rows take with their indexes is estimated: a message, a delivery, an attempt (see the sizes below).
-- name: bytes_of_metadata
SELECT
    count(*) * 250
    + (SELECT count(*) FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members))) * 160
    + (
        SELECT count(*) FROM attempt
        WHERE delivery_id IN (
            SELECT id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members))
        )
    ) * 60
FROM json_each(:members);

-- name: remove_attempts
DELETE FROM attempt
WHERE delivery_id IN (SELECT id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members)));

-- name: remove_folds
DELETE FROM folded
WHERE delivery_id IN (SELECT id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members)));

-- name: remove_deliveries
DELETE FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members));

-- name: remove_parkings
DELETE FROM parked
WHERE delivery_id IN (SELECT id FROM delivery WHERE message_id IN (SELECT value FROM json_each(:members)));

-- name: remove_assignments
DELETE FROM assignment WHERE message_id IN (SELECT value FROM json_each(:members));

-- name: remove_keys
DELETE FROM business_key WHERE message_id IN (SELECT value FROM json_each(:members));

-- name: remove_replay_items
DELETE FROM replay_item WHERE message_id IN (SELECT value FROM json_each(:members));

-- name: remove_arrivals
DELETE FROM arrival WHERE key IN (
    SELECT key FROM arrival WHERE message_id IN (SELECT value FROM json_each(:members))
);

-- name: remove_messages
DELETE FROM message WHERE id IN (SELECT value FROM json_each(:members));

-- name: remove_removals
DELETE FROM removed WHERE message_id IN (SELECT value FROM json_each(:members));

-- name: settled_channels
WITH RECURSIVE
states (state) AS (VALUES ('done'), ('filtered'), ('unrouted'), ('closed')),
found (state, channel) AS (
    SELECT state, (SELECT min(channel) FROM message WHERE message.state = states.state) FROM states
    UNION ALL
    SELECT
        state,
        (SELECT min(channel) FROM message WHERE message.state = found.state AND message.channel > found.channel)
    FROM found
    WHERE channel IS NOT NULL
)
SELECT DISTINCT channel FROM found WHERE channel IS NOT NULL ORDER BY channel;

-- What is kept of a range of messages, one row a channel: messages and bytes of bodies, of answers, of metadata.
-- Bodies: what arrived, but for copies that share their original's, and what was sent where it is not the same.
-- name: volume
SELECT
    channel,
    sum(has_bodies), sum(has_bodies * bodies),
    sum(has_answers), sum(has_answers * answers),
    count(*), sum(metadata)
FROM (
    SELECT
        message.channel,
        ifnull(removed.bodies_at, 0) = 0 AS has_bodies,
        ifnull(removed.answers_at, 0) = 0 AS has_answers,
        iif(
            message.body_id = (SELECT root.body_id FROM message AS root WHERE root.id = message.replay_of), 0, message.bytes
        ) + ifnull(sum(iif(delivery.body_id <> message.body_id, delivery.bytes, 0)), 0) AS bodies,
        length(message.reply) + length(message.application_reply) + ifnull(sum(
            (SELECT sum(length(answer)) FROM attempt WHERE attempt.delivery_id = delivery.id)
        ), 0) AS answers,
        250 + ifnull(sum(
            160 + 60 * (SELECT count(*) FROM attempt WHERE attempt.delivery_id = delivery.id)
        ), 0) AS metadata
    FROM message
    LEFT JOIN removed ON removed.message_id = message.id
    LEFT JOIN delivery INDEXED BY delivery_message ON delivery.message_id = message.id
    WHERE message.id > :after AND message.id <= :upto
    GROUP BY message.id
)
GROUP BY channel;

-- The same for each message of one channel, the newest first.
-- name: sizes
SELECT
    message.id,
    CASE :data
        WHEN 'bodies' THEN iif(
            message.body_id = (SELECT root.body_id FROM message AS root WHERE root.id = message.replay_of), 0, message.bytes
        ) + ifnull(sum(iif(delivery.body_id <> message.body_id, delivery.bytes, 0)), 0)
        WHEN 'answers' THEN length(message.reply) + length(message.application_reply) + ifnull(sum(
            (SELECT sum(length(answer)) FROM attempt WHERE attempt.delivery_id = delivery.id)
        ), 0)
        ELSE 250 + ifnull(sum(160 + 60 * (SELECT count(*) FROM attempt WHERE attempt.delivery_id = delivery.id)), 0)
    END
FROM message
LEFT JOIN removed ON removed.message_id = message.id
LEFT JOIN delivery INDEXED BY delivery_message ON delivery.message_id = message.id
WHERE
    message.id > :after AND message.id <= :upto AND +message.channel = :channel
    AND CASE :data
        WHEN 'bodies' THEN ifnull(removed.bodies_at, 0) = 0
        WHEN 'answers' THEN ifnull(removed.answers_at, 0) = 0
        ELSE true
    END
GROUP BY message.id
ORDER BY message.id DESC;

-- name: long_deliveries
SELECT max(delivery_id), json_group_array(delivery_id) FILTER (WHERE attempts > :attempts) FROM (
    SELECT delivery_id, count(*) AS attempts FROM attempt
    WHERE delivery_id > :after
    GROUP BY delivery_id
    ORDER BY delivery_id
    LIMIT :limit
);

-- name: fold_attempts
DELETE FROM attempt WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (ORDER BY id) AS forth, row_number() OVER (ORDER BY id DESC) AS back
        FROM attempt WHERE delivery_id = :delivery
    )
    WHERE forth > :first AND back > :last
);

-- name: note_fold
INSERT INTO folded (delivery_id, first, gone) VALUES (:delivery, :first, :gone)
ON CONFLICT (delivery_id) DO UPDATE SET gone = gone + excluded.gone;

-- name: folds_of
SELECT delivery_id, first, gone FROM folded WHERE delivery_id IN (/*each*/ ? /*each*/);

-- name: newest_message
SELECT ifnull(max(id), 0) FROM message;

-- name: note_highest_body
UPDATE retention SET highest_body = (SELECT max(id) FROM body);

-- name: clock_seen
SELECT
    iif(seen_at = 0, ifnull((SELECT received_at FROM message WHERE id = (SELECT max(id) FROM message)), 0), seen_at),
    doubted_at
FROM retention;

-- name: note_clock
UPDATE retention SET seen_at = ?, doubted_at = ?;
