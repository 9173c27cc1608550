package ledger

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema of the database to this program's version and
// returns how many steps that took. Any number of processes may call it at
// once: they take turns.
func Migrate(ctx context.Context, url string) (int, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return 0, fmt.Errorf("ledger: DATABASE_URL: %w", err)
	}
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return 0, fmt.Errorf("ledger: migration lock: %w", err)
	}
	files, err := migrationFiles()
	if err != nil {
		return 0, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return 0, fmt.Errorf("ledger: migrations: %w", err)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return len(done), fmt.Errorf("ledger: migrating the database: %w", err)
	}
	return len(done), nil
}

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
