-- Fences the allocators of earlier epochs, after what they have under way.
UPDATE cursors SET epoch = l.epoch, holder = l.holder
FROM leases AS l
WHERE l.sale_id = cursors.sale_id AND l.sale_id = ANY (@sales::bigint[])
RETURNING cursors.sale_id
