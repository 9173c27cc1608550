package ledger

import (
	"cmp"
	"context"
	_ "embed" // what the schema promises
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// schema is what queries/schema.sql says of a database that has all migrations;
// TestSchemaIsKnown writes it.
//
//go:embed schema.txt
var schema string

// ErrSchema says that the database is not as the migrations leave it, though
// they were applied. Nothing can be relied upon, and waiting does not help.
var ErrSchema = errors.New("ledger: the database's schema is not the one that this program knows")

// ErrBehind says that the database lacks migrations.
var ErrBehind = errors.New("ledger: the database has not been migrated: run `notsale migrate`")

// CheckSchema reports whether the database has all that the migrations promise:
// ErrBehind before they are applied, ErrSchema if it is another one. What it has
// beyond that, such as the tables of a newer program, does no harm.
func (l *Ledger) CheckSchema(ctx context.Context) error {
	found, err := all(ctx, l.pool, "schema", nil, pgx.RowTo[string])
	if during(&err, "reading the schema"); err != nil {
		return err
	}
	missing := lacking(found)
	if len(missing) == 0 {
		return nil
	}
	if behind, err := l.behind(ctx); err != nil || behind {
		return cmp.Or(err, ErrBehind)
	}
	return fmt.Errorf("%w: it lacks %s", ErrSchema, strings.Join(missing[:min(len(missing), shownPromises)], "; "))
}

// shownPromises is how many of the things that a schema lacks an error names.
const shownPromises = 3

// lacking lists what the schema should have and has not.
func lacking(found []string) (missing []string) {
	for line := range strings.Lines(schema) {
		if line = strings.TrimSpace(line); !slices.Contains(found, line) {
			missing = append(missing, line)
		}
	}
	return missing
}

const undefinedTable = "42P01"

// behind reports whether this program has migrations that were not applied.
func (l *Ledger) behind(ctx context.Context) (bool, error) {
	newest, err := newestMigration()
	if err != nil {
		return false, err
	}
	applied, err := one(ctx, l.pool, "schema_version", nil, pgx.RowTo[int64])
	if none := new(pgconn.PgError); errors.As(err, &none) && none.Code == undefinedTable {
		return true, nil
	}
	during(&err, "reading the schema's version")
	return applied < newest, err
}
