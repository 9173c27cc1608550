package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"notsale/pkg/sale"
)

// Lease is the right to decide one sale, during one epoch.
type Lease struct {
	Sale  sale.ID `db:"sale_id"`
	Epoch int64
}

// ttlsAhead is how many times its length a lease may end ahead of the database's
// clock. One that ends later was written while the clock was wrong, and does not
// count: else its sale might not be decided for as long as the clock was wrong by.
// Its holder, if it still runs, is fenced like any other.
const ttlsAhead = 5

// Take takes the leases of at most limit sales that no living allocator holds,
// except those in skip; ttl is the length of a lease. It ends the predecessors'
// database sessions where it may, then raises the epochs and commits: when it
// returns, everything that a predecessor will ever have written can be read. A sale
// whose cursor is locked does not hold up the others; if there are only such, it
// waits for one. After an error the leases may have been taken: Renew tells.
func (l *Ledger) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) (_ []Lease, err error) {
	defer during(&err, "taking leases")
	if skip == nil {
		skip = []sale.ID{} // nil would be null, which is unlike any sale
	}
	leases, locked, err := l.take(ctx, "lease_fence_free", ttl, skip, limit)
	switch {
	case len(locked) == 0:
	case len(locked) < len(leases):
		leases, locked, err = l.take(ctx, "lease_fence_free", ttl, slices.Concat(skip, locked), limit)
		if len(locked) > 0 { // now others are locked: nothing was taken, the next call tries again
			leases = nil
		}
	default:
		leases, _, err = l.take(ctx, "lease_fence", ttl, skip, 1)
	}
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// errLocked says that the cursors of some sales are locked.
var errLocked = errors.New("ledger: a cursor is locked")

// take takes leases in one transaction, with one of the two statements that fence.
// If some sales are locked, it returns which, and has taken none.
func (l *Ledger) take(ctx context.Context, fence string, ttl time.Duration, skip []sale.ID, limit int) (leases []Lease, locked []sale.ID, err error) {
	err = l.pool.inTransaction(ctx, pgx.TxOptions{}, func(tx transaction) error {
		taken, err := all(ctx, tx, "lease_take", params{"holder": l.name, "most": limit, "skip": skip, "ahead": ttlsAhead * ttl}, pgx.RowToStructByName[struct {
			Lease
			Holder string // before
		}])
		if err != nil || len(taken) == 0 {
			return err
		}
		ended := map[string]bool{"": true, l.name: true}
		for _, t := range taken {
			leases, locked = append(leases, t.Lease), append(locked, t.Sale)
			if !ended[t.Holder] {
				ended[t.Holder] = true
				if err := terminate(ctx, tx, t.Holder); err != nil {
					return err
				}
			}
		}
		fenced, err := all(ctx, tx, fence, params{"sales": locked}, pgx.RowTo[sale.ID])
		locked = slices.DeleteFunc(locked, func(id sale.ID) bool { return slices.Contains(fenced, id) })
		if err == nil && len(locked) > 0 {
			err = errLocked
		}
		return err
	})
	if errors.Is(err, errLocked) {
		return leases, locked, nil
	}
	return leases, nil, err
}

// insufficientPrivilege is the SQLSTATE of what a role may not do.
const insufficientPrivilege = "42501"

// terminate ends the database sessions of a predecessor. If this role may not do
// that, the fence waits for what they have under way.
func terminate(ctx context.Context, tx transaction, name string) error {
	err := pgx.BeginFunc(ctx, tx, func(part pgx.Tx) error {
		_, err := done(ctx, transaction{part}, "lease_terminate", params{"name": name})
		return err
	})
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return nil
	}
	return err
}

// Renew keeps this allocator alive for ttl and returns the leases that the ledger
// says it holds. One that it thinks it has, and that is not returned, is lost. One
// that it does not know was taken by a call of Take that seemed to fail. Renew waits
// for no flush: a renewal that is lost in a crash only costs a takeover.
func (l *Ledger) Renew(ctx context.Context, ttl time.Duration) (_ []Lease, err error) {
	defer during(&err, "renewing leases")
	return all(ctx, l.renewals, "lease_renew", params{"holder": l.name, "ttl": ttl}, pgx.RowToStructByName[Lease])
}

// Release gives one lease back, so that another allocator may take it at once.
func (l *Ledger) Release(ctx context.Context, lease Lease) (err error) {
	defer during(&err, "releasing the lease of sale %d", lease.Sale)
	_, err = done(ctx, l.pool, "lease_release", params{"holder": l.name, "sale": lease.Sale, "epoch": lease.Epoch})
	return err
}

// Retire gives all leases of this allocator back. It waits for a renewal that is
// under way, and, like a renewal, for no flush.
func (l *Ledger) Retire(ctx context.Context) (err error) {
	defer during(&err, "giving leases back")
	_, err = done(ctx, l.renewals, "lease_retire", params{"holder": l.name})
	return err
}
