-- +goose Up

-- The one installation that this database belongs to. Streams of another
-- installation are never decided from.
CREATE TABLE installation (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id         uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO installation (id) VALUES (gen_random_uuid());

-- One row per sale. Everything but state and its times is in the opening
-- record too and never changes.
CREATE TABLE sales (
    sale_id      bigint PRIMARY KEY CHECK (sale_id > 0),
    sale_uuid    uuid NOT NULL UNIQUE,
    installation uuid NOT NULL,
    opens_at     timestamptz NOT NULL UNIQUE, -- start of its slot: no slot is opened twice
    stock        integer NOT NULL CHECK (stock > 0),
    user_limit   integer NOT NULL CHECK (user_limit > 0),
    first_item   bigint NOT NULL UNIQUE CHECK (first_item > 0),
    last_item    bigint NOT NULL UNIQUE GENERATED ALWAYS AS (first_item + stock - 1) STORED,
    seed         bigint NOT NULL CHECK (seed >= 0),
    rules        integer NOT NULL CHECK (rules > 0),
    state        text NOT NULL DEFAULT 'preparing' CHECK (state IN ('preparing', 'open', 'sold_out')),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    opened_at    timestamptz,
    sold_out_at  timestamptz
);
CREATE INDEX sales_unfinished ON sales (sale_id) WHERE state <> 'sold_out';

-- Allocator processes that live, each renewing its one row. Expiry is by this
-- database's clock.
CREATE TABLE allocators (
    name       text PRIMARY KEY, -- application_name of its sessions
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Who may decide a sale: the holder, as long as its row in allocators lives.
CREATE TABLE leases (
    sale_id bigint PRIMARY KEY REFERENCES sales,
    holder  text NOT NULL, -- empty: given back
    epoch   bigint NOT NULL CHECK (epoch > 0)
);
CREATE INDEX leases_holder ON leases (holder);

-- How far a sale is decided. The epoch stands here too, so that one UPDATE
-- checks the fence and moves the cursor.
CREATE TABLE cursors (
    sale_id        bigint PRIMARY KEY REFERENCES sales,
    epoch          bigint NOT NULL,
    holder         text NOT NULL, -- of the lease: two epochs of one number, after a restore, are two
    generation     bigint NOT NULL CHECK (generation > 0),
    sequence       bigint NOT NULL CHECK (sequence > 0),
    position       bigint NOT NULL CHECK (position >= 0),
    sold           integer NOT NULL CHECK (sold >= 0),
    stock          integer NOT NULL,
    chain          bytea NOT NULL CHECK (length(chain) = 32),
    pack_hash      bytea NOT NULL CHECK (length(pack_hash) = 32),
    pack_time      timestamptz NOT NULL,
    engine_time    timestamptz NOT NULL,
    stream_created timestamptz NOT NULL,
    CHECK (sold <= stock)
) WITH (fillfactor = 50); -- updated in place at every commit

-- decisions and items have no foreign keys: their rows are inserted only from
-- the fenced update of a cursor, which has one.
CREATE TABLE decisions (
    sale_id    bigint NOT NULL,
    position   bigint NOT NULL,
    code_id    uuid,    -- null: the request could not be read
    item_id    bigint,
    user_id    text,
    reason     smallint NOT NULL, -- 0: granted
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (sale_id, position)
);
CREATE UNIQUE INDEX decisions_code ON decisions (code_id) WHERE code_id IS NOT NULL;

-- Items with an owner; the primary key makes a double sale impossible.
CREATE TABLE items (
    item_id  bigint PRIMARY KEY,
    sale_id  bigint NOT NULL,
    user_id  text NOT NULL,
    code_id  uuid NOT NULL,
    position bigint NOT NULL,
    sold_at  timestamptz NOT NULL
);

-- One row per commit of a batch. packs says what was applied: per pack the
-- stream's timestamp (microseconds, 8 bytes big endian) and the first 16 bytes
-- of the SHA-256 of its message.
CREATE TABLE commits (
    sale_id      bigint NOT NULL,
    generation   bigint NOT NULL,
    sequence     bigint NOT NULL,
    position     bigint NOT NULL,
    chain        bytea NOT NULL,
    packs        bytea NOT NULL,
    epoch        bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sale_id, generation, sequence)
);

-- Lost tails of a sale's stream. Each opens a new generation.
CREATE TABLE holes (
    sale_id           bigint NOT NULL REFERENCES sales,
    generation        bigint NOT NULL, -- the one it opens
    matching_sequence bigint NOT NULL, -- last message that is still as it was
    cursor_sequence   bigint NOT NULL, -- the cursor when the hole was found
    cursor_position   bigint NOT NULL,
    cursor_chain      bytea NOT NULL,
    cursor_time       timestamptz NOT NULL, -- engine time at the cursor
    resume_sequence   bigint NOT NULL, -- first message of the new generation
    epoch             bigint NOT NULL,
    found_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sale_id, generation)
);

-- Every checkout, refused ones included. The code is never stored, its id is.
CREATE TABLE checkout_attempts (
    attempt_id   uuid PRIMARY KEY,
    sale_id      bigint NOT NULL, -- 0: no sale has the item
    attempted_at timestamptz NOT NULL,
    user_param   text NOT NULL, -- as sent; escaped and cut if it is no user id
    item_param   text NOT NULL,
    outcome      text NOT NULL,
    code_id      uuid,
    expires_at   timestamptz,
    edge         text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How far a sale's stream of attempts is recorded for certain. A restored
-- database has an older value, from which recorders read again.
CREATE TABLE recorded (
    sale_id  bigint PRIMARY KEY, -- 0: the attempts of no sale
    sequence bigint NOT NULL
);

-- +goose Down
DROP TABLE recorded, checkout_attempts, holes, commits, items, decisions, cursors, leases, allocators, sales, installation;
