-- The checkout attempt of sale $1 that was given code $2.
SELECT attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge
FROM checkout_attempts
WHERE sale_id = $1 AND code_id = $2
