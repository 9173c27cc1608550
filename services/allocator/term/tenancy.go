package term

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// Registry is where leases stand: the ledger. Its calls may fail in any way;
// what they did then is learned from the next Renew.
type Registry interface {
	// Renew keeps this allocator alive for the TTL and returns what it holds.
	Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error)
	// Take takes at most limit leases that nobody alive holds, none of skip,
	// after making sure that their holders before can write nothing more.
	Take(ctx context.Context, skip []sale.ID, limit int) ([]ledger.Lease, error)
	// Release gives one lease back.
	Release(ctx context.Context, lease ledger.Lease) error
}

// RestAfterGivingUp is how long a sale that cannot be decided is left alone.
const RestAfterGivingUp = 10 * time.Second

// Tenancy is which sales an allocator may decide. It has one owner.
type Tenancy struct {
	registry Registry
	ttl      time.Duration
	limit    int // leases taken at once
	held     map[sale.ID]ledger.Lease
	resting  map[sale.ID]time.Time // sales given up, and until when
}

// NewTenancy returns a tenancy that holds nothing.
func NewTenancy(registry Registry, ttl time.Duration, limit int) *Tenancy {
	return &Tenancy{registry: registry, ttl: ttl, limit: limit, held: map[sale.ID]ledger.Lease{}, resting: map[sale.ID]time.Time{}}
}

// Turn renews what is held, finds out what was lost and takes what is free. The
// caller has made sure that the streams can be read: an allocator that cannot
// read must not keep others from it. Terms of lost leases end, those of taken
// ones begin, also beside an error.
func (t *Tenancy) Turn(ctx context.Context, now time.Time) (lost, taken []ledger.Lease, err error) {
	crash.At("allocator/before-renew")
	renewed, err := t.registry.Renew(ctx, t.ttl)
	crash.At("allocator/after-renew")
	if err != nil {
		return nil, nil, err
	}
	epochs := make(map[sale.ID]int64, len(renewed))
	for _, lease := range renewed {
		epochs[lease.Sale] = lease.Epoch
	}
	skip := make([]sale.ID, 0, len(t.held)+len(t.resting))
	for id, lease := range t.held {
		if epochs[id] != lease.Epoch {
			lost = append(lost, lease)
			delete(t.held, id)
			continue
		}
		skip = append(skip, id)
	}
	for id, until := range t.resting {
		if now.Before(until) {
			skip = append(skip, id)
		} else {
			delete(t.resting, id)
		}
	}
	crash.At("allocator/before-take")
	taken, err = t.registry.Take(ctx, skip, t.limit)
	if len(taken) > 0 {
		crash.At("allocator/after-take")
	}
	for _, lease := range taken {
		t.held[lease.Sale] = lease
	}
	return lost, taken, err
}

// Ended says that the term of a lease has stopped by itself, and why. The sale
// can be taken again: at once, or, if it cannot be decided here, by others at
// once and by this allocator after a rest.
func (t *Tenancy) Ended(ctx context.Context, lease ledger.Lease, why error, now time.Time) error {
	if t.held[lease.Sale] != lease {
		return nil
	}
	delete(t.held, lease.Sale)
	if !errors.Is(why, ErrGiveUp) {
		return nil
	}
	t.resting[lease.Sale] = now.Add(RestAfterGivingUp)
	return t.registry.Release(ctx, lease)
}
