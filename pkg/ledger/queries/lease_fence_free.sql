-- Fences the allocators of earlier epochs, but only in those of the sales whose
-- cursors are not locked; returns these.
WITH free AS (
    SELECT sale_id FROM cursors WHERE sale_id = ANY (@sales::bigint[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE cursors SET epoch = l.epoch, holder = l.holder
FROM leases AS l JOIN free USING (sale_id)
WHERE l.sale_id = cursors.sale_id
RETURNING cursors.sale_id
