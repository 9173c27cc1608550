-- Commits a batch, in one statement, so that a replaced allocator writes nothing,
-- even if statements are pipelined. Fenced if it returns no row.
WITH fence AS (
    UPDATE cursors
    SET generation = @generation, sequence = @sequence, position = @position, sold = @sold, chain = @chain,
        pack_hash = @pack_hash, pack_time = @pack_time, engine_time = @engine_time
    WHERE sale_id = @sale AND epoch = @epoch AND holder = @holder AND generation = @before_generation AND sequence = @before_sequence
    RETURNING sale_id
), decided AS MATERIALIZED (
    SELECT fence.sale_id, d.position, NULLIF(d.code_id, '00000000-0000-0000-0000-000000000000') AS code_id,
           d.item_id, d.user_id, d.reason, d.decided_at
    FROM fence, unnest(@positions::bigint[], @codes::uuid[], @items::bigint[], @users::text[], @reasons::smallint[], @times::timestamptz[])
        AS d (position, code_id, item_id, user_id, reason, decided_at)
), recorded AS (
    INSERT INTO decisions (sale_id, position, code_id, item_id, user_id, reason, decided_at)
    SELECT sale_id, position, code_id,
           CASE WHEN code_id IS NOT NULL THEN item_id END, CASE WHEN code_id IS NOT NULL THEN user_id END,
           reason, decided_at
    FROM decided
), owned AS (
    INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at)
    SELECT item_id, sale_id, user_id, code_id, position, decided_at FROM decided WHERE reason = 0
), committed AS (
    INSERT INTO commits (sale_id, generation, sequence, position, chain, packs, epoch)
    SELECT sale_id, @generation, @sequence, @position, @chain, @packs, @epoch FROM fence
), closed AS (
    UPDATE sales SET state = 'sold_out', sold_out_at = clock_timestamp()
    FROM fence
    WHERE sales.sale_id = fence.sale_id AND sales.state = 'open' AND sales.stock = @sold
)
SELECT sale_id FROM fence
