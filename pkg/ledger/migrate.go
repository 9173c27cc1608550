package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

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
	cc.DefaultQueryExecMode = pgx.QueryExecModeExec // which keeps nothing in a session: it may be a pooler's
	cc.ConnectTimeout = connectWithin(cc)
	cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	db := stdlib.OpenDB(*cc)
	defer db.Close()
	files, err := migrationFiles()
	if err != nil {
		return 0, err
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

// turn is the turn of one of several processes that migrate: a transaction beside
// theirs, which a pooler keeps together as it does no session. Its lock is that of
// earlier versions, who took it for their session.
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

// Unlock gives the turn away.
func (t *turn) Unlock(context.Context, *sql.DB) error { return t.tx.Rollback() }

func migrationFiles() (fs.FS, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("ledger: migrations: %w", err)
	}
	return files, nil
}

// newestMigration is the version of the last one.
func newestMigration() (int64, error) {
	files, err := migrationFiles()
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("ledger: %d migrations: %w", len(names), err)
	}
	version, err := goose.NumericComponent(names[len(names)-1]) // sorted by name
	if err != nil {
		return 0, fmt.Errorf("ledger: migrations: %w", err)
	}
	return version, nil
}
