-- A sale's decisions above a position, up to another, in order, at most so many.
SELECT position, code_id, item_id, user_id, reason, decided_at
FROM decisions
WHERE sale_id = $1 AND position > $2 AND position <= $3
ORDER BY position
LIMIT $4
