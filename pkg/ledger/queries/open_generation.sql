-- Records a hole and moves the cursor into the generation that it opens, fenced
-- as a commit is. No row comes back: fenced.
WITH fence AS (
    UPDATE cursors
    SET generation = $6, sequence = $7, chain = $8, pack_hash = $9, pack_time = $10,
        stream_created = COALESCE($14::timestamptz, stream_created)
    WHERE sale_id = $1 AND epoch = $2 AND holder = $3 AND generation = $4 AND sequence = $5
    RETURNING sale_id
), recorded AS (
    INSERT INTO holes (sale_id, generation, matching_sequence, cursor_sequence, cursor_position, cursor_chain, resume_sequence, epoch, cursor_time)
    SELECT sale_id, $6, $7, $5, $11, $12, $13, $2, $15 FROM fence
)
SELECT sale_id FROM fence
