-- Records a hole and moves the cursor into the generation that begins after it.
-- Fenced as a commit is, if it returns no row.
WITH fence AS (
    UPDATE cursors
    SET generation = @generation, sequence = @sequence, chain = @chain, pack_hash = @pack_hash, pack_time = @pack_time,
        stream_created = COALESCE(@stream_created::timestamptz, stream_created)
    WHERE sale_id = @sale AND epoch = @epoch AND holder = @holder AND generation = @before_generation AND sequence = @before_sequence
    RETURNING sale_id
), recorded AS (
    INSERT INTO holes (sale_id, generation, matching_sequence, cursor_sequence, cursor_position, cursor_chain, resume_sequence, epoch, cursor_time)
    SELECT sale_id, @generation, @sequence, @before_sequence, @position, @lost_chain, @resume, @epoch, @engine_time FROM fence
)
SELECT sale_id FROM fence
