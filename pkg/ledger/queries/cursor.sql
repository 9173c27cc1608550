SELECT epoch, holder = @holder AS mine, generation, sequence, position, sold, chain, pack_hash, pack_time, engine_time, stream_created
FROM cursors
WHERE sale_id = @sale
