-- Says that part $1 of the streams of no sale is removed, if it is recorded up to
-- message $2 of the stream made at $3, both the message and its recording are
-- older than $4, and this clock and NATS's, which says $5, agree within $6.
UPDATE attempt_cursors
SET removed_at = COALESCE(removed_at, clock_timestamp())
WHERE sale_id = 0 AND part = $1 AND sequence = $2 AND stream_created = $3
  AND GREATEST(message_time, recorded_at) < clock_timestamp() - $4::interval
  AND clock_timestamp() BETWEEN $5::timestamptz - $6::interval AND $5::timestamptz + $6::interval
