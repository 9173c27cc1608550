-- Shuts out the allocators of earlier epochs.
UPDATE cursors SET epoch = l.epoch, holder = l.holder
FROM leases AS l
WHERE l.sale_id = cursors.sale_id AND l.sale_id = ANY ($1::bigint[]) AND (cursors.epoch, cursors.holder) IS DISTINCT FROM (l.epoch, l.holder)
