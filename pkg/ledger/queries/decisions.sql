-- At most @most of a sale's decisions above one position up to another, in order.
SELECT position, code_id, item_id, user_id, reason, decided_at
FROM decisions
WHERE sale_id = @sale AND position > @after AND position <= @up_to
ORDER BY position
LIMIT @most
