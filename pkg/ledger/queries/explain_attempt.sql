-- The checkout attempt of the sale that was given the code.
SELECT attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge
FROM checkout_attempts
WHERE sale_id = @sale AND code_id = @code
