package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/sale"
)

// ErrNotFound says that the ledger has no such row.
var ErrNotFound = errors.New("ledger: not found")

// Config says how to reach the ledger.
type Config struct {
	URL   string // postgres://user:password@host:port/database
	Name  string // application_name of the sessions, at most 63 bytes; an allocator's successor finds them by it
	Conns int32  // most connections of the pool
	// Patience is after how long the server ends a statement or an idle transaction,
	// so that no lock lasts longer than its holder's network; 0: DefaultPatience.
	Patience time.Duration
	// ReadOnly says that nothing will be written, so that a standby is enough.
	ReadOnly bool
}

// DefaultConns suits a service that does one thing at a time and a few reads.
const DefaultConns = 4

// DefaultPatience suits services: whatever grows with a sale is read in pages, and a
// commit waits for two flushes, each of which takes seconds on a slow disk.
const DefaultPatience = 15 * time.Second

// connectTimeout bounds making a session: some six round trips of up to 300 ms
// each, to a busy server.
const connectTimeout = 5 * time.Second

// hostTimeout is the same for each server of a URL that names several: one that
// hangs must not hold up the next.
const hostTimeout = connectTimeout / 2

// renewalPatience bounds a renewal on the server. It waits for nothing that lasts
// longer.
const renewalPatience = 5 * time.Second

// Ledger is a pool of sessions, safe for any number of callers.
type Ledger struct {
	pool sessions
	// renewals is the one session on which leases are renewed, however busy the
	// others are, and without waiting for a flush.
	renewals sessions
	name     string
	readOnly bool
}

// Open makes the pools. They connect lazily: use Ping to see whether the
// database answers. Each new session is checked; if it did not get what it asked
// for, every call fails with ErrUnfit or ErrReadOnly.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	a := asked{readOnly: cfg.ReadOnly, durable: true, patience: cmp.Or(cfg.Patience, DefaultPatience)}
	pool, err := a.open(ctx, cfg, cfg.Conns)
	if err != nil {
		return nil, err
	}
	a.durable, a.patience = false, renewalPatience
	renewals, err := a.open(ctx, cfg, 1)
	if err != nil {
		pool.pool.Close()
		return nil, err
	}
	return &Ledger{pool: pool, renewals: renewals, name: cfg.Name, readOnly: cfg.ReadOnly}, nil
}

// Close ends all sessions. It waits for calls under way.
func (l *Ledger) Close() {
	l.renewals.pool.Close()
	l.pool.pool.Close()
}

// Ping reports whether the database answers, and, unless the ledger is only
// read, whether it can be written.
func (l *Ledger) Ping(ctx context.Context) error {
	if err := l.ping(ctx); err != nil {
		return fmt.Errorf("ledger: the database does not answer: %w", err)
	}
	return nil
}

func (l *Ledger) ping(ctx context.Context) error {
	c, err := l.pool.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	var readOnly string
	if err := c.QueryRow(ctx, `SHOW transaction_read_only`).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly == "on" && !l.readOnly {
		return errors.Join(ErrReadOnly, c.Conn().Close(ctx))
	}
	return nil
}

// Installation returns the id of the installation that the database belongs to.
func (l *Ledger) Installation(ctx context.Context) (sale.UUID, error) {
	id, err := one(ctx, l.pool, "installation", nil, pgx.RowTo[sale.UUID])
	if err != nil {
		return sale.UUID{}, fmt.Errorf("ledger: reading the installation id (was `notsale migrate` run?): %w", err)
	}
	return id, nil
}
