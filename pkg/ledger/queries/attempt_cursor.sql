SELECT sequence, message_time, message_hash, stream_created
FROM attempt_cursors
WHERE sale_id = @sale AND part = @part
