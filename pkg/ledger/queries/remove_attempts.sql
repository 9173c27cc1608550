-- Records that a part of the streams of no sale is removed, if it is the stream
-- created then and recorded up to message @sequence, both the message and its
-- recording are older than the horizon, and this clock and NATS's agree within the
-- tolerance.
UPDATE attempt_cursors
SET removed_at = COALESCE(removed_at, clock_timestamp())
WHERE sale_id = 0 AND part = @part AND sequence = @sequence AND stream_created = @stream_created
  AND GREATEST(message_time, recorded_at) < clock_timestamp() - @horizon::interval
  AND clock_timestamp() BETWEEN @nats_clock::timestamptz - @tolerance::interval AND @nats_clock::timestamptz + @tolerance::interval
