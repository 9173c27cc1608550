-- Records the archive of a sale, takes the lease away and shuts its allocator
-- out. No row is inserted: the sale is not decided up to where the archive ends.
WITH fence AS (
    UPDATE cursors SET holder = ''
    WHERE sale_id = $1 AND sequence = $3 AND chain = $5
    RETURNING sale_id
), free AS (
    UPDATE leases SET holder = '' FROM fence WHERE leases.sale_id = fence.sale_id
)
INSERT INTO archives (sale_id, manifest, sequence, attempts, chain)
SELECT sale_id, $2, $3, $4, $5 FROM fence
