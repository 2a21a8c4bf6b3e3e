-- What the operator's commands read. Lists never touch a body.

-- name: message_columns
SELECT
    message.id, message.channel, message.received_at, message.type, message.control_id, message.sender, message.receiver,
    message.state, message.reply_state, message.cause, message.text, message.bytes, message.peer, message.trace,
    message.parent, message.replay_of, unseal(facts, message.facts),
    (SELECT bodies_at FROM removed WHERE removed.message_id = message.id),
    (SELECT answers_at FROM removed WHERE removed.message_id = message.id)
FROM message;

-- name: delivery_columns
SELECT
    delivery.id, delivery.message_id, delivery.route, delivery.destination, unseal(lane, delivery.lane), delivery.state, delivery.attempt,
    delivery.due_at, delivery.created_at, delivery.settled_at, delivery.key, delivery.type, delivery.content_type,
    delivery.bytes, delivery.body_id IS NOT NULL, delivery.cause, delivery.text, delivery.generation
FROM delivery;

-- name: message_body
SELECT unseal(body, body.bytes, body.id) FROM message JOIN body ON body.id = message.body_id WHERE message.id = ?;

-- name: message_replies
SELECT unseal(reply, reply, id), unseal(application_reply, application_reply, id) FROM message WHERE id = ?;

-- name: sent_body
SELECT unseal(body, body.bytes, body.id) FROM delivery JOIN body ON body.id = delivery.body_id WHERE delivery.id = ?;

-- name: attempts_by_delivery
SELECT delivery_id, started_at, ended_at, state, cause, text, unseal(answer, answer, delivery_id)
FROM attempt
WHERE delivery_id IN (/*each*/ ? /*each*/)
ORDER BY id;

-- name: first_cause
SELECT ifnull(trace, id) FROM message WHERE id = ?;

-- name: traced
SELECT id FROM message WHERE id = :trace UNION SELECT id FROM message WHERE trace = :trace ORDER BY id;

-- name: count_replays
SELECT state, count(*) FROM message INDEXED BY message_replay WHERE replay_of IS NOT NULL GROUP BY state;

-- name: count_messages_by_channel
SELECT channel, state, count(*) FROM message GROUP BY state, channel ORDER BY channel, state;

-- name: count_deliveries_by_destination
SELECT destination, state, count(*) FROM delivery GROUP BY state, destination ORDER BY destination, state;
