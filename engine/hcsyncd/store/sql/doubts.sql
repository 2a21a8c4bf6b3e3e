-- What is known of unsure deliveries.

-- name: still_unsure
SELECT id FROM delivery WHERE id IN (/*each*/ ? /*each*/) AND +state = 'unsure' ORDER BY id;
