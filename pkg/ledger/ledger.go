package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"notsale/pkg/sale"
)

// ErrNotFound says that the ledger has no such row.
var ErrNotFound = errors.New("ledger: not found")

// Config says how to reach the ledger.
type Config struct {
	URL   string // postgres://user:password@host:port/database
	Name  string // application_name of the sessions, at most 63 bytes; names an allocator to its successor
	Conns int32  // most connections of the pool
	// Patience is when the server ends a statement or an idle transaction, so
	// that no lock outlives its holder's network; 0: DefaultPatience.
	Patience time.Duration
}

// DefaultConns suits a service that does one thing at a time and a few reads.
const DefaultConns = 4

// DefaultPatience suits services: a recovery streams a million rows in less.
const DefaultPatience = 15 * time.Second

const connectTimeout = 3 * time.Second

// Ledger is a pool of sessions, safe for any number of callers.
type Ledger struct {
	pool *pgxpool.Pool
	name string
}

// Open makes a pool. It connects lazily: use Ping to see whether the database
// answers.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("ledger: DATABASE_URL: %w", err)
	}
	if cfg.Conns > 0 {
		pc.MaxConns = cfg.Conns
	}
	pc.ConnConfig.ConnectTimeout = connectTimeout
	run := pc.ConnConfig.RuntimeParams
	run["application_name"] = cfg.Name
	patience := strconv.FormatInt(cmp.Or(cfg.Patience, DefaultPatience).Milliseconds(), 10)
	run["statement_timeout"] = patience
	run["idle_in_transaction_session_timeout"] = patience
	run["timezone"] = "UTC"
	run["synchronous_commit"] = "on"
	pc.AfterConnect = refuseVolatile
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &Ledger{pool: pool, name: cfg.Name}, nil
}

// AllowVolatile lets tests run on a server without fsync. Nothing else sets it.
const AllowVolatile = "notsale.allow_volatile"

// refuseVolatile keeps an acknowledged sale from being lost with the power.
func refuseVolatile(ctx context.Context, conn *pgx.Conn) error {
	var fsync, allowed string
	err := conn.QueryRow(ctx, `SELECT current_setting('fsync'), COALESCE(current_setting($1, true), '')`, AllowVolatile).Scan(&fsync, &allowed)
	if err != nil {
		return fmt.Errorf("ledger: reading fsync: %w", err)
	}
	if fsync != "on" && allowed != "on" {
		return errors.New("ledger: the server runs with fsync=off, a power cut would lose sold items: set fsync=on in postgresql.conf")
	}
	return nil
}

// Close ends all sessions. It waits for calls under way.
func (l *Ledger) Close() { l.pool.Close() }

// Ping reports whether the database answers.
func (l *Ledger) Ping(ctx context.Context) error {
	if err := l.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ledger: the database does not answer: %w", err)
	}
	return nil
}

// Installation returns the id of the installation that the database belongs to.
func (l *Ledger) Installation(ctx context.Context) (sale.UUID, error) {
	var id [16]byte
	if err := l.pool.QueryRow(ctx, `SELECT id FROM installation`).Scan(&id); err != nil {
		return sale.UUID{}, fmt.Errorf("ledger: reading the installation id (was `notsale migrate` run?): %w", err)
	}
	return id, nil
}
