-- Gives a prepared sale its first cursor and opens it; repeated, it changes nothing.
WITH genesis AS (
    INSERT INTO cursors (sale_id, epoch, holder, generation, sequence, position, sold, stock, chain, pack_hash, pack_time, engine_time, stream_created)
    SELECT sale_id, 0, '', $2, $3, $4, $5, stock, $6, $7, $8, $9, $10 FROM sales WHERE sale_id = $1
    ON CONFLICT (sale_id) DO NOTHING
)
UPDATE sales SET state = 'open', opened_at = clock_timestamp()
WHERE sale_id = $1 AND state = 'preparing'
