-- Moves the mark of what is recorded for certain; it never goes back. Not on a
-- server that was started since $3: it may have been restored meanwhile.
INSERT INTO recorded (sale_id, sequence)
SELECT $1, $2 WHERE pg_postmaster_start_time() = $3
ON CONFLICT (sale_id) DO UPDATE SET sequence = GREATEST(recorded.sequence, excluded.sequence)
