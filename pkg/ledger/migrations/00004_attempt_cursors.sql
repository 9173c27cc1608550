-- +goose Up

-- How far each stream of checkout attempts is recorded. It moves in the
-- statement that stores the rows, from where that recorder believes it to stand.
CREATE TABLE attempt_cursors (
    sale_id        bigint NOT NULL CHECK (sale_id >= 0),  -- 0: no sale
    part           integer NOT NULL CHECK (part >= 0),    -- of the streams of no sale; 0 for a sale's
    sequence       bigint NOT NULL CHECK (sequence >= 0), -- the last recorded message; 0: none
    message_time   timestamptz NOT NULL,
    message_hash   bytea NOT NULL CHECK (length(message_hash) = 32),
    stream_created timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(), -- when it moved last
    removed_at     timestamptz, -- when the stream was removed: old, and recorded to its end
    PRIMARY KEY (sale_id, part)
) WITH (fillfactor = 50); -- updated in place

-- Streams of attempts that were not the ones any more that had been recorded:
-- where the cursor stood. What is in them is recorded anew, what is not is in
-- checkout_attempts alone.
CREATE TABLE attempt_holes (
    sale_id        bigint NOT NULL,
    part           integer NOT NULL,
    sequence       bigint NOT NULL,
    message_time   timestamptz NOT NULL,
    message_hash   bytea NOT NULL,
    stream_created timestamptz NOT NULL,
    found_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sale_id, part, found_at)
);

-- The marks of the recorders before this (table recorded) stay until a recorder
-- has read their streams anew.

-- +goose Down
DROP TABLE attempt_holes, attempt_cursors;
