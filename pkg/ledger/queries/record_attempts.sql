-- Moves the cursor of a stream of attempts and stores what was read, in one
-- statement, so that a recorder writes nothing if another, or a restore, has moved
-- the cursor meanwhile. An attempt that is there already stays as it is.
WITH moved AS (
    INSERT INTO attempt_cursors AS c (sale_id, part, sequence, message_time, message_hash, stream_created)
    SELECT @sale, @part, @to_sequence, @to_time, @to_hash, @stream_created
    WHERE @from_sequence::bigint = 0 OR EXISTS (SELECT FROM attempt_cursors WHERE sale_id = @sale AND part = @part)
    ON CONFLICT (sale_id, part) DO UPDATE
    SET sequence = excluded.sequence, message_time = excluded.message_time, message_hash = excluded.message_hash,
        recorded_at = clock_timestamp()
    WHERE c.sequence = @from_sequence AND c.message_time = @from_time AND c.message_hash = @from_hash AND c.stream_created = @stream_created
    RETURNING sale_id
), stored AS (
    INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge)
    SELECT a.attempt_id, a.sale_id, a.attempted_at, a.user_param, a.item_param, a.outcome,
           NULLIF(a.code_id, '00000000-0000-0000-0000-000000000000'),
           CASE WHEN a.outcome = 'issued' THEN a.expires_at END, a.edge
    FROM moved, unnest(@ids::uuid[], @sales::bigint[], @times::timestamptz[], @users::text[], @items::text[], @outcomes::text[], @codes::uuid[], @expires::timestamptz[], @edges::text[])
        AS a (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge)
    ON CONFLICT (attempt_id) DO NOTHING
    RETURNING attempt_id
)
SELECT (SELECT count(*) FROM moved) > 0 AS moved, (SELECT count(*) FROM stored) AS stored
