-- Records the archive of a sale, takes the lease away and shuts its allocator
-- out. No row is inserted: the sale is not decided up to where the archive ends.
WITH fence AS (
    UPDATE cursors SET holder = ''
    WHERE sale_id = @sale AND sequence = @sequence AND chain = @chain
    RETURNING sale_id
), free AS (
    UPDATE leases SET holder = '' FROM fence WHERE leases.sale_id = fence.sale_id
)
INSERT INTO archives (sale_id, manifest, sequence, attempts, chain)
SELECT sale_id, @manifest, @sequence, @attempts, @chain FROM fence
