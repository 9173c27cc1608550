package allocator

import (
	"errors"
	"maps"
	"slices"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// Rests of a sale after its term has ended by itself.
const (
	// restAfterGivingUp is how long a sale that cannot be decided here is left alone.
	restAfterGivingUp = 10 * time.Second
	// restAfterStalling is how long a sale is left to others whose loop made no
	// progress here: they look for free sales several times within it.
	restAfterStalling = 2 * time.Second
)

// errStalled says that a term was ended because it made no progress.
var errStalled = errors.New("the sale's loop makes no progress")

// leases are which sales an allocator may decide: what the ledger says, as its
// answers come in. An answer may be late, or never come; what was done then is
// learned from the next renewal. It has one owner.
type leases struct {
	held    map[sale.ID]ledger.Lease
	leaving map[sale.ID]bool      // sales being given back
	resting map[sale.ID]time.Time // sales given up, and until when
}

func newLeases() *leases {
	return &leases{held: map[sale.ID]ledger.Lease{}, leaving: map[sale.ID]bool{}, resting: map[sale.ID]time.Time{}}
}

// all is what is held now: what a renewal that begins now will be asked about.
func (l *leases) all() map[sale.ID]ledger.Lease { return maps.Clone(l.held) }

// renewed takes the answer to a renewal: which leases the ledger says are this
// allocator's. Of those that were held when it began and are not among them the
// terms end; those that are news were taken by a call that seemed to fail, or
// not yet to have ended, and their terms begin.
func (l *leases) renewed(asked map[sale.ID]ledger.Lease, answer []ledger.Lease, now time.Time) (lost, adopted []ledger.Lease) {
	found := make(map[sale.ID]ledger.Lease, len(answer))
	for _, lease := range answer {
		found[lease.Sale] = lease
	}
	for _, id := range slices.Sorted(maps.Keys(asked)) {
		lease := asked[id]
		if l.held[id] == lease && found[id] != lease {
			lost = append(lost, lease)
			delete(l.held, id)
		}
	}
	skip := l.away(now)
	for _, lease := range answer {
		if !skip[lease.Sale] && l.hold(lease) {
			adopted = append(adopted, lease)
		}
	}
	return lost, adopted
}

// hold adds a lease, unless that sale is held already.
func (l *leases) hold(lease ledger.Lease) bool {
	if _, held := l.held[lease.Sale]; held {
		return false
	}
	l.held[lease.Sale] = lease
	return true
}

// away is the set of sales that are left to others.
func (l *leases) away(now time.Time) map[sale.ID]bool {
	away := maps.Clone(l.leaving)
	for id, until := range l.resting {
		if now.Before(until) {
			away[id] = true
		} else {
			delete(l.resting, id)
		}
	}
	return away
}

// skip lists the sales that this allocator should not take now.
func (l *leases) skip(now time.Time) []sale.ID {
	return slices.AppendSeq([]sale.ID{}, slices.Values(slices.Sorted(maps.Keys(l.away(now)))))
}

// taken takes the answer to a takeover and returns the leases that are news.
func (l *leases) taken(answer []ledger.Lease) (taken []ledger.Lease) {
	for _, lease := range answer {
		if l.hold(lease) {
			taken = append(taken, lease)
		}
	}
	return taken
}

// ended says that the term of a lease has stopped by itself, and why. If it
// reports true, the lease must be given back, and left be called after that.
// Then the sale can be taken again: at once, or, if it is better decided
// elsewhere, by others at once and by this allocator after a rest.
func (l *leases) ended(lease ledger.Lease, why error, now time.Time) bool {
	if l.held[lease.Sale] != lease {
		return false
	}
	delete(l.held, lease.Sale)
	l.leaving[lease.Sale] = true
	switch {
	case errors.Is(why, ErrGiveUp):
		l.resting[lease.Sale] = now.Add(restAfterGivingUp)
	case errors.Is(why, errStalled):
		l.resting[lease.Sale] = now.Add(restAfterStalling)
	}
	return true
}

// left says that giving a lease back has ended. Where it failed, the next
// renewal tells.
func (l *leases) left(id sale.ID) { delete(l.leaving, id) }
