DECLARE attempts CURSOR FOR
SELECT attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge
FROM checkout_attempts
WHERE sale_id = @sale
ORDER BY attempt_id
