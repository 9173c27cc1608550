SELECT sale_id, position, code_id, item_id, user_id, reason, decided_at
FROM decisions
WHERE code_id = @code
