-- Gives a prepared sale its first cursor and opens it. Repeated, it changes nothing.
WITH genesis AS (
    INSERT INTO cursors (sale_id, epoch, holder, generation, sequence, position, sold, stock, chain, pack_hash, pack_time, engine_time, stream_created)
    SELECT sale_id, 0, '', @generation, @sequence, @position, @sold, stock, @chain, @pack_hash, @pack_time, @engine_time, @stream_created FROM sales WHERE sale_id = @sale
    ON CONFLICT (sale_id) DO NOTHING
)
UPDATE sales SET state = 'open', opened_at = clock_timestamp()
WHERE sale_id = @sale AND state = 'preparing'
