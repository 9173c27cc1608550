package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/sale"
)

// Lease is the right to decide one sale, during one epoch.
type Lease struct {
	Sale  sale.ID
	Epoch int64
}

// Take takes the leases of at most limit sales that no living allocator holds,
// except those in skip. It first ends the predecessors' sessions, then bumps
// the epochs and commits: when it returns, all that a predecessor could ever
// write is there to be read.
func (l *Ledger) Take(ctx context.Context, skip []sale.ID, limit int) ([]Lease, error) {
	var leases []Lease
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		taken, predecessors, err := l.take(ctx, tx, skip, limit)
		if err != nil || len(taken) == 0 {
			return err
		}
		if len(predecessors) > 0 {
			if _, err := tx.Exec(ctx, sqlLeaseTerminate, predecessors); err != nil {
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

func (l *Ledger) take(ctx context.Context, tx pgx.Tx, skip []sale.ID, limit int) (leases []Lease, predecessors []string, err error) {
	held := make([]int64, len(skip))
	for i, id := range skip {
		held[i] = int64(id)
	}
	rows, err := tx.Query(ctx, sqlLeaseTake, l.name, limit, held)
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
// holds by the ledger. One it believes in but that is not among them is lost.
func (l *Ledger) Renew(ctx context.Context, ttl time.Duration) ([]Lease, error) {
	rows, err := l.pool.Query(ctx, sqlLeaseRenew, l.name, ttl)
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

// Retire gives all leases of this allocator back.
func (l *Ledger) Retire(ctx context.Context) error {
	if _, err := l.pool.Exec(ctx, sqlLeaseRetire, l.name); err != nil {
		return fmt.Errorf("ledger: giving leases back: %w", err)
	}
	return nil
}
