-- Records the archive of a sale, takes its lease away and fences its allocator. If
-- the sale's cursor is not where the archive ends, no row is inserted.
WITH fence AS (
    UPDATE cursors SET holder = ''
    WHERE sale_id = @sale AND sequence = @sequence AND chain = @chain
    RETURNING sale_id
), free AS (
    UPDATE leases SET holder = '' FROM fence WHERE leases.sale_id = fence.sale_id
)
INSERT INTO archives (sale_id, manifest, sequence, attempts, chain)
SELECT sale_id, @manifest, @sequence, @attempts, @chain FROM fence
