package term

import (
	"errors"
	"maps"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// Rests of a sale after its term has ended by itself.
const (
	// RestAfterGivingUp is how long a sale that cannot be decided here is left alone.
	RestAfterGivingUp = 10 * time.Second
	// RestAfterStalling is how long a sale is left to others whose loop made no
	// progress here: they look for free sales several times within it.
	RestAfterStalling = 2 * time.Second
)

// ErrStalled says that a term was ended because it made no progress.
var ErrStalled = errors.New("the sale's loop makes no progress")

// Tenancy is which sales an allocator may decide: what the ledger says, as its
// answers come in. An answer may be late, or never come; what was done then is
// learned from the next renewal. It has one owner.
type Tenancy struct {
	held    map[sale.ID]ledger.Lease
	leaving map[sale.ID]bool      // sales being given back
	resting map[sale.ID]time.Time // sales given up, and until when
}

// NewTenancy returns a tenancy that holds nothing.
func NewTenancy() *Tenancy {
	return &Tenancy{held: map[sale.ID]ledger.Lease{}, leaving: map[sale.ID]bool{}, resting: map[sale.ID]time.Time{}}
}

// Held is what is held now: what a renewal that begins now will be asked about.
func (t *Tenancy) Held() map[sale.ID]ledger.Lease { return maps.Clone(t.held) }

// Renewed takes the answer to a renewal: which leases the ledger says are this
// allocator's. Of those that were held when it began and are not among them the
// terms end; those that are news were taken by a call that seemed to fail, or
// not yet to have ended, and their terms begin.
func (t *Tenancy) Renewed(asked map[sale.ID]ledger.Lease, renewed []ledger.Lease, now time.Time) (lost, adopted []ledger.Lease) {
	found := make(map[sale.ID]ledger.Lease, len(renewed))
	for _, lease := range renewed {
		found[lease.Sale] = lease
	}
	for id, lease := range asked {
		if t.held[id] == lease && found[id] != lease {
			lost = append(lost, lease)
			delete(t.held, id)
		}
	}
	skip := t.away(now)
	for _, lease := range renewed {
		if !skip[lease.Sale] && t.hold(lease) {
			adopted = append(adopted, lease)
		}
	}
	return lost, adopted
}

// hold adds a lease, unless that sale is held already.
func (t *Tenancy) hold(lease ledger.Lease) bool {
	if _, held := t.held[lease.Sale]; held {
		return false
	}
	t.held[lease.Sale] = lease
	return true
}

// away is the set of sales that are left to others.
func (t *Tenancy) away(now time.Time) map[sale.ID]bool {
	away := maps.Clone(t.leaving)
	for id, until := range t.resting {
		if now.Before(until) {
			away[id] = true
		} else {
			delete(t.resting, id)
		}
	}
	return away
}

// Skip lists the sales that this allocator should not take now.
func (t *Tenancy) Skip(now time.Time) []sale.ID {
	skip := []sale.ID{}
	for id := range t.away(now) {
		skip = append(skip, id)
	}
	return skip
}

// Taken takes the answer to a takeover and returns the leases that are news.
func (t *Tenancy) Taken(leases []ledger.Lease) (taken []ledger.Lease) {
	for _, lease := range leases {
		if t.hold(lease) {
			taken = append(taken, lease)
		}
	}
	return taken
}

// Ended says that the term of a lease has stopped by itself, and why. If it
// reports true, the lease must be given back, and Left be called after that.
// Then the sale can be taken again: at once, or, if it is better decided
// elsewhere, by others at once and by this allocator after a rest.
func (t *Tenancy) Ended(lease ledger.Lease, why error, now time.Time) bool {
	if t.held[lease.Sale] != lease {
		return false
	}
	delete(t.held, lease.Sale)
	t.leaving[lease.Sale] = true
	switch {
	case errors.Is(why, ErrGiveUp):
		t.resting[lease.Sale] = now.Add(RestAfterGivingUp)
	case errors.Is(why, ErrStalled):
		t.resting[lease.Sale] = now.Add(RestAfterStalling)
	}
	return true
}

// Left says that giving a lease back has ended. Where it failed, the next
// renewal tells.
func (t *Tenancy) Left(id sale.ID) { delete(t.leaving, id) }
