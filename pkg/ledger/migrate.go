package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema of the database to this program's version and
// returns how many steps that took. Any number of processes may call it at
// once: they take turns.
func Migrate(ctx context.Context, url string) (int, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return 0, fmt.Errorf("ledger: DATABASE_URL: %w", err)
	}
	cc := pc.ConnConfig
	cc.DefaultQueryExecMode = pgx.QueryExecModeExec // keeps nothing in a session, which may be a pooler's
	cc.ConnectTimeout = connectWithin(cc)
	cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	db := stdlib.OpenDB(*cc)
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, fmt.Errorf("ledger: migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithLocker(&turn{}))
	if err != nil {
		return 0, fmt.Errorf("ledger: migrations: %w", err)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return len(done), fmt.Errorf("ledger: migrating the database: %w", explained(err))
	}
	return len(done), nil
}

// turn lets processes that migrate at the same time take turns. It holds a lock in a
// transaction of its own, since a pooler does not keep a session together. The lock
// is the one that earlier versions took for their session.
type turn struct{ tx *sql.Tx }

// Lock waits for the turn.
func (t *turn) Lock(ctx context.Context, db *sql.DB) (err error) {
	if t.tx, err = db.BeginTx(ctx, nil); err != nil {
		return err
	}
	_, err = t.tx.ExecContext(ctx, `SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
		set_config('idle_in_transaction_session_timeout', '0', true)`)
	if err == nil {
		_, err = t.tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, lock.DefaultLockID)
	}
	if err != nil {
		return errors.Join(err, t.tx.Rollback())
	}
	return nil
}

// Unlock ends the turn.
func (t *turn) Unlock(context.Context, *sql.DB) error { return t.tx.Rollback() }

// schema is what queries/schema.sql returns of a database with all migrations;
// TestSchemaIsKnown writes it.
//
//go:embed schema.txt
var schema string

// ErrSchema says that the database is not as the migrations leave it, though
// they were applied. Waiting does not help.
var ErrSchema = errors.New("ledger: the database's schema is not the one that this program knows")

// ErrBehind says that the database lacks migrations.
var ErrBehind = errors.New("ledger: the database has not been migrated: run `notsale migrate`")

// CheckSchema reports whether the database has all that the migrations make:
// ErrBehind if they were not all applied, else ErrSchema. What it has beyond that,
// such as the tables of a newer program, does no harm.
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
	return fmt.Errorf("%w: it lacks %s", ErrSchema, strings.Join(missing[:min(len(missing), maxMissing)], "; "))
}

// maxMissing is how many of the things that a schema lacks an error names.
const maxMissing = 3

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
	list, err := migrations.ReadDir("migrations") // sorted by name
	if err != nil || len(list) == 0 {
		return false, fmt.Errorf("ledger: %d migrations: %w", len(list), err)
	}
	newest, err := goose.NumericComponent(list[len(list)-1].Name())
	if err != nil {
		return false, fmt.Errorf("ledger: migrations: %w", err)
	}
	applied, err := one(ctx, l.pool, "schema_version", nil, pgx.RowTo[int64])
	if none := new(pgconn.PgError); errors.As(err, &none) && none.Code == undefinedTable {
		return true, nil
	}
	during(&err, "reading the schema's version")
	return applied < newest, err
}
