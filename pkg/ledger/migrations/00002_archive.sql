-- +goose Up

-- A sold-out sale's streams can be removed, once they are archived.
ALTER TABLE sales
    DROP CONSTRAINT sales_state_check,
    ADD CONSTRAINT sales_state_check CHECK (state IN ('preparing', 'open', 'sold_out', 'archiving', 'archived'));
DROP INDEX sales_unfinished;
CREATE INDEX sales_unfinished ON sales (sale_id) WHERE state IN ('preparing', 'open');

-- What stands in the archive of a sale whose streams were removed.
CREATE TABLE archives (
    sale_id     bigint PRIMARY KEY REFERENCES sales,
    manifest    bytea NOT NULL CHECK (length(manifest) = 32), -- SHA-256 of the archive's manifest
    sequence    bigint NOT NULL CHECK (sequence > 0),         -- last message of the sale's stream
    attempts    bigint NOT NULL CHECK (attempts >= 0),        -- last message of its stream of attempts
    chain       bytea NOT NULL CHECK (length(chain) = 32),    -- of the cursor
    archived_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- An audit reads by sale. Rows arrive nearly in that order, so that an index of
-- ranges finds them and costs an insert next to nothing.
CREATE INDEX checkout_attempts_sale ON checkout_attempts USING brin (sale_id) WITH (autosummarize = on);
CREATE INDEX items_sale ON items USING brin (sale_id) WITH (autosummarize = on);

-- +goose Down
DROP INDEX checkout_attempts_sale, items_sale;
DROP TABLE archives;
DROP INDEX sales_unfinished;
UPDATE sales SET state = 'sold_out' WHERE state IN ('archiving', 'archived');
ALTER TABLE sales
    DROP CONSTRAINT sales_state_check,
    ADD CONSTRAINT sales_state_check CHECK (state IN ('preparing', 'open', 'sold_out'));
CREATE INDEX sales_unfinished ON sales (sale_id) WHERE state <> 'sold_out';
