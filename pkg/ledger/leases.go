package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"notsale/pkg/sale"
)

// Lease is the right to decide one sale, during one epoch.
type Lease struct {
	Sale  sale.ID
	Epoch int64
}

// ttlsAhead is how many times its length a lease may end ahead of the
// database's clock. One that ends later was written by a clock that was wrong,
// and is none: what it vouches for would not be decided for as long as the clock
// was wrong by. Its holder, if it lives, is fenced like any other.
const ttlsAhead = 5

// Take takes the leases of at most limit sales that no living allocator holds,
// except those in skip; ttl is the length of a lease. It ends the predecessors'
// sessions where it may, then bumps the epochs, waiting for what they have under
// way, and commits: when it returns, all that a predecessor could ever write is
// there to be read. After an error the leases may be taken all the same: Renew
// tells.
func (l *Ledger) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]Lease, error) {
	var leases []Lease
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		taken, predecessors, err := l.take(ctx, tx, ttl, skip, limit)
		if err != nil || len(taken) == 0 {
			return err
		}
		for _, name := range predecessors {
			if err := terminate(ctx, tx, name); err != nil {
				return err
			}
		}
		ids := make([]int64, len(taken))
		for i, lease := range taken {
			ids[i] = int64(lease.Sale)
		}
		leases = taken
		_, err = tx.Exec(ctx, sqlLeaseFence, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: taking leases: %w", err)
	}
	return leases, nil
}

// insufficientPrivilege is the SQLSTATE of what a role may not do.
const insufficientPrivilege = "42501"

// terminate ends the sessions of a predecessor. One that it may not end is left:
// the fence waits for what it has under way.
func terminate(ctx context.Context, tx pgx.Tx, name string) error {
	err := pgx.BeginFunc(ctx, tx, func(part pgx.Tx) error {
		_, err := part.Exec(ctx, sqlLeaseTerminate, name)
		return err
	})
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return nil
	}
	return err
}

func (l *Ledger) take(ctx context.Context, tx pgx.Tx, ttl time.Duration, skip []sale.ID, limit int) (leases []Lease, predecessors []string, err error) {
	held := make([]int64, len(skip))
	for i, id := range skip {
		held[i] = int64(id)
	}
	rows, err := tx.Query(ctx, sqlLeaseTake, l.name, limit, held, ttlsAhead*ttl)
	if err != nil {
		return nil, nil, err
	}
	var (
		lease  Lease
		before string
		seen   = map[string]bool{"": true, l.name: true}
	)
	_, err = pgx.ForEachRow(rows, []any{&lease.Sale, &lease.Epoch, &before}, func() error {
		leases = append(leases, lease)
		if !seen[before] {
			seen[before] = true
			predecessors = append(predecessors, before)
		}
		return nil
	})
	return leases, predecessors, err
}

// Renew keeps this allocator alive for the TTL and returns the leases that it
// holds by the ledger: one that it believes in but that is not among them is
// lost, one that it knows nothing of was taken by a call that seemed to fail.
// It waits for no flush: a renewal that is lost in a crash costs a takeover.
func (l *Ledger) Renew(ctx context.Context, ttl time.Duration) ([]Lease, error) {
	rows, err := l.renewals.Query(ctx, sqlLeaseRenew, l.name, ttl)
	if err != nil {
		return nil, fmt.Errorf("ledger: renewing leases: %w", err)
	}
	leases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Lease])
	if err != nil {
		return nil, fmt.Errorf("ledger: renewing leases: %w", err)
	}
	return leases, nil
}

// Release gives one lease back, so that another allocator may take it at once.
func (l *Ledger) Release(ctx context.Context, lease Lease) error {
	if _, err := l.pool.Exec(ctx, sqlLeaseRelease, l.name, int64(lease.Sale), lease.Epoch); err != nil {
		return fmt.Errorf("ledger: releasing the lease of sale %d: %w", lease.Sale, err)
	}
	return nil
}

// Retire gives all leases of this allocator back, once no renewal is under way:
// it is the last of them, and waits for no flush either.
func (l *Ledger) Retire(ctx context.Context) error {
	if _, err := l.renewals.Exec(ctx, sqlLeaseRetire, l.name); err != nil {
		return fmt.Errorf("ledger: giving leases back: %w", err)
	}
	return nil
}
