-- Moves the mark of what is recorded for certain; it never goes back.
INSERT INTO recorded (sale_id, sequence) VALUES ($1, $2)
ON CONFLICT (sale_id) DO UPDATE SET sequence = GREATEST(recorded.sequence, excluded.sequence)
