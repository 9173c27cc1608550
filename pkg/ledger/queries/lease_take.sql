-- Takes the leases of at most @most sales that no living allocator holds, lowest
-- numbers first; returns the new epochs and the previous holders. Leaves out sales in
-- @skip, which the caller has given up on purpose, and those that it holds. A holder
-- counts as alive until its row expires, unless that is more than @ahead away.
WITH free AS (
    SELECT s.sale_id, COALESCE(l.epoch, 0) AS epoch, COALESCE(l.holder, '') AS holder
    FROM sales AS s
    LEFT JOIN leases AS l USING (sale_id)
    LEFT JOIN allocators AS a ON a.name = l.holder
    WHERE s.state NOT IN ('preparing', 'archived')
      AND (a.name IS NULL OR a.expires_at < clock_timestamp() OR a.expires_at > clock_timestamp() + @ahead::interval)
      AND l.holder IS DISTINCT FROM @holder
      AND s.sale_id <> ALL (@skip::bigint[])
    ORDER BY s.sale_id
    LIMIT @most
    FOR NO KEY UPDATE OF s SKIP LOCKED
), taken AS (
    INSERT INTO leases AS l (sale_id, holder, epoch)
    SELECT sale_id, @holder, epoch + 1 FROM free
    ON CONFLICT (sale_id) DO UPDATE
    SET holder = excluded.holder, epoch = excluded.epoch
    WHERE l.epoch = excluded.epoch - 1
    RETURNING sale_id, epoch
)
SELECT taken.sale_id, taken.epoch, free.holder FROM taken JOIN free USING (sale_id)
