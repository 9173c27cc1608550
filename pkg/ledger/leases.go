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
func (l *Ledger) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) (_ []Lease, err error) {
	defer during(&err, "taking leases")
	leases, locked, err := l.takeFree(ctx, "lease_fence_free", ttl, skip, limit)
	switch {
	case len(locked) == 0:
	case len(locked) < len(leases):
		leases, locked, err = l.takeFree(ctx, "lease_fence_free", ttl, slices.Concat(skip, locked), limit)
		if len(locked) > 0 { // others are locked by now: nothing was taken, the next turn tries again
			leases = nil
		}
	default:
		leases, _, err = l.takeFree(ctx, "lease_fence", ttl, skip, 1)
	}
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// errLocked says that not all of the sales could be fenced.
var errLocked = errors.New("ledger: a cursor is locked")

// takeFree is a takeover with one of the two fences. Of sales that are locked it
// lists which, and has taken none then.
func (l *Ledger) takeFree(ctx context.Context, fence string, ttl time.Duration, skip []sale.ID, limit int) (leases []Lease, locked []sale.ID, err error) {
	err = l.pool.inTransaction(ctx, pgx.TxOptions{}, func(tx transaction) error {
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
func shutOut(ctx context.Context, tx transaction, fence string, leases []Lease) (locked []sale.ID, err error) {
	ids := make([]sale.ID, len(leases))
	for i, lease := range leases {
		ids[i] = lease.Sale
	}
	fenced, err := all(ctx, tx, fence, params{"sales": ids}, pgx.RowTo[sale.ID])
	if err != nil || len(fenced) == len(leases) {
		return nil, err
	}
	return slices.DeleteFunc(ids, func(id sale.ID) bool { return slices.Contains(fenced, id) }), errLocked
}

// insufficientPrivilege is the SQLSTATE of what a role may not do.
const insufficientPrivilege = "42501"

// terminate ends the sessions of a predecessor. One that it may not end is left:
// the fence waits for what it has under way.
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

func (l *Ledger) take(ctx context.Context, tx transaction, ttl time.Duration, skip []sale.ID, limit int) (leases []Lease, predecessors []string, err error) {
	if skip == nil {
		skip = []sale.ID{} // nil is null, which is like no sale
	}
	taken, err := all(ctx, tx, "lease_take", params{"holder": l.name, "most": limit, "skip": skip, "ahead": ttlsAhead * ttl}, pgx.RowToStructByName[struct {
		Lease
		Holder string
	}])
	for _, t := range taken {
		leases = append(leases, t.Lease)
		if t.Holder != "" && t.Holder != l.name && !slices.Contains(predecessors, t.Holder) {
			predecessors = append(predecessors, t.Holder)
		}
	}
	return leases, predecessors, err
}

// Renew keeps this allocator alive for the TTL and returns the leases that it
// holds by the ledger: one that it believes in but that is not among them is
// lost, one that it knows nothing of was taken by a call that seemed to fail.
// It waits for no flush: a renewal that is lost in a crash costs a takeover.
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

// Retire gives all leases of this allocator back, once no renewal is under way:
// it is the last of them, and waits for no flush either.
func (l *Ledger) Retire(ctx context.Context) (err error) {
	defer during(&err, "giving leases back")
	_, err = done(ctx, l.renewals, "lease_retire", params{"holder": l.name})
	return err
}
