package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
// sessions where it may, then bumps the epochs and commits: when it returns, all
// that a predecessor could ever write is there to be read. A sale whose cursor
// somebody has locked keeps no other from being taken; when only such are left
// it waits for one. After an error the leases may be taken all the same: Renew
// tells.
func (l *Ledger) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]Lease, error) {
	leases, locked, err := l.takeFree(ctx, sqlLeaseFenceFree, ttl, skip, limit)
	switch {
	case len(locked) == 0:
	case len(locked) < len(leases):
		leases, locked, err = l.takeFree(ctx, sqlLeaseFenceFree, ttl, slices.Concat(skip, locked), limit)
		if len(locked) > 0 { // others are locked by now: nothing was taken, the next turn tries again
			leases = nil
		}
	default:
		leases, _, err = l.takeFree(ctx, sqlLeaseFence, ttl, skip, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: taking leases: %w", err)
	}
	return leases, nil
}

// errLocked says that not all of the sales could be fenced.
var errLocked = errors.New("ledger: a cursor is locked")

// takeFree is a takeover with one of the two fences. Of sales that are locked it
// lists which, and has taken none then.
func (l *Ledger) takeFree(ctx context.Context, fence string, ttl time.Duration, skip []sale.ID, limit int) (leases []Lease, locked []sale.ID, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		var predecessors []string
		if leases, predecessors, err = l.take(ctx, tx, ttl, skip, limit); err != nil || len(leases) == 0 {
			return err
		}
		for _, name := range predecessors {
			if err := terminate(ctx, tx, name); err != nil {
				return err
			}
		}
		locked, err = shutOut(ctx, tx, fence, leases)
		return err
	})
	if errors.Is(err, errLocked) {
		return leases, locked, nil
	}
	return leases, nil, err
}

// shutOut fences the leases, or returns errLocked and those that are not.
func shutOut(ctx context.Context, tx pgx.Tx, fence string, leases []Lease) (locked []sale.ID, err error) {
	ids := make([]int64, len(leases))
	for i, lease := range leases {
		ids[i] = int64(lease.Sale)
	}
	rows, err := tx.Query(ctx, fence, ids)
	if err != nil {
		return nil, err
	}
	fenced, err := pgx.CollectRows(rows, pgx.RowTo[sale.ID])
	if err != nil || len(fenced) == len(leases) {
		return nil, err
	}
	for _, lease := range leases {
		if !slices.Contains(fenced, lease.Sale) {
			locked = append(locked, lease.Sale)
		}
	}
	return locked, errLocked
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
