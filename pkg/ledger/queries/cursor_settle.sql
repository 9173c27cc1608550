-- Reads the cursor by an update, for its holder only: that waits for whatever is
-- under way on the row, and its commit confirms whatever was committed before.
UPDATE cursors SET epoch = epoch
WHERE sale_id = @sale AND holder = @holder AND epoch = @epoch
RETURNING epoch, true AS mine, generation, sequence, position, sold, chain, pack_hash, pack_time, engine_time, stream_created
