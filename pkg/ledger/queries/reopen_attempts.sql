-- Records that a stream of attempts is not the one any more that was recorded,
-- and moves its cursor before the first message. No row comes back: the cursor
-- was moved by another.
WITH stood AS (
    SELECT sale_id, part, sequence, message_time, message_hash, stream_created
    FROM attempt_cursors
    WHERE sale_id = @sale AND part = @part AND sequence = @sequence AND message_time = @time AND message_hash = @hash AND stream_created = @stream_created
    FOR UPDATE
), moved AS (
    UPDATE attempt_cursors AS c
    SET sequence = 0, message_time = @none_time, message_hash = @none_hash, stream_created = @new_created, recorded_at = clock_timestamp(), removed_at = NULL
    FROM stood
    WHERE c.sale_id = stood.sale_id AND c.part = stood.part
    RETURNING c.sale_id
)
INSERT INTO attempt_holes (sale_id, part, sequence, message_time, message_hash, stream_created)
SELECT stood.sale_id, stood.part, stood.sequence, stood.message_time, stood.message_hash, stood.stream_created FROM stood, moved
