-- Records that a stream of attempts is no longer the one that was recorded, and
-- moves its cursor before the first message. Returns no row if another has moved the
-- cursor.
WITH found AS (
    SELECT sale_id, part, sequence, message_time, message_hash, stream_created
    FROM attempt_cursors
    WHERE sale_id = @sale AND part = @part AND sequence = @sequence AND message_time = @time AND message_hash = @hash AND stream_created = @stream_created
    FOR UPDATE
), moved AS (
    UPDATE attempt_cursors AS c
    SET sequence = 0, message_time = @none_time, message_hash = @none_hash, stream_created = @new_created, recorded_at = clock_timestamp(), removed_at = NULL
    FROM found
    WHERE c.sale_id = found.sale_id AND c.part = found.part
    RETURNING c.sale_id
)
INSERT INTO attempt_holes (sale_id, part, sequence, message_time, message_hash, stream_created)
SELECT found.sale_id, found.part, found.sequence, found.message_time, found.message_hash, found.stream_created FROM found, moved
