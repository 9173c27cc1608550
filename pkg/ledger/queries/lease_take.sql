-- Takes the leases of at most $2 sales that nobody alive holds, lowest numbers
-- first; returns the new epochs and the holders before. Sales in $3 are left
-- alone: the caller has given them up on purpose. What the caller holds is not
-- free. A holder lives until its row expires, unless that is more than $4 away.
WITH free AS (
    SELECT s.sale_id, COALESCE(l.epoch, 0) AS epoch, COALESCE(l.holder, '') AS holder
    FROM sales AS s
    LEFT JOIN leases AS l USING (sale_id)
    LEFT JOIN allocators AS a ON a.name = l.holder
    WHERE s.state NOT IN ('preparing', 'archived')
      AND (a.name IS NULL OR a.expires_at < clock_timestamp() OR a.expires_at > clock_timestamp() + $4::interval)
      AND l.holder IS DISTINCT FROM $1
      AND s.sale_id <> ALL ($3::bigint[])
    ORDER BY s.sale_id
    LIMIT $2
    FOR NO KEY UPDATE OF s SKIP LOCKED
), taken AS (
    INSERT INTO leases AS l (sale_id, holder, epoch)
    SELECT sale_id, $1, epoch + 1 FROM free
    ON CONFLICT (sale_id) DO UPDATE
    SET holder = excluded.holder, epoch = excluded.epoch
    WHERE l.epoch = excluded.epoch - 1
    RETURNING sale_id, epoch
)
SELECT taken.sale_id, taken.epoch, free.holder FROM taken JOIN free USING (sale_id)
