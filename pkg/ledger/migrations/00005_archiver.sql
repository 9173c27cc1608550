-- +goose Up

-- Who may archive sales by their age: its holder, until it expires by this
-- database's clock. One that ends much later than it could is no lease: a clock
-- was wrong when it was written.
CREATE TABLE archiver_lease (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder     text NOT NULL, -- empty: nobody
    expires_at timestamptz NOT NULL
);
INSERT INTO archiver_lease (holder, expires_at) VALUES ('', '-infinity');

-- +goose Down
DROP TABLE archiver_lease;
