package allocator

import (
	"errors"
	"maps"
	"slices"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// How long an allocator leaves a sale alone after its term has ended by itself.
const (
	restAfterGivingUp = 10 * time.Second // it cannot be decided here
	restAfterStalling = 2 * time.Second  // others look for free sales several times within it
)

// errStalled says that a term was ended because it made no progress.
var errStalled = errors.New("the sale's loop makes no progress")

// leases are the sales that an allocator may decide, according to the ledger's
// answers. An answer may be late or lost; what the ledger did then, the next
// renewal tells. It has one owner.
type leases struct {
	held      map[sale.ID]ledger.Lease
	releasing map[sale.ID]bool      // sales whose lease is being given back
	resting   map[sale.ID]time.Time // sales given up, and until when
}

func newLeases() *leases {
	return &leases{held: map[sale.ID]ledger.Lease{}, releasing: map[sale.ID]bool{}, resting: map[sale.ID]time.Time{}}
}

// all returns what is held now, to compare with the answer to a renewal that
// starts now.
func (l *leases) all() map[sale.ID]ledger.Lease { return maps.Clone(l.held) }

// renewed takes the answer to a renewal: the leases that the ledger says this
// allocator has. A lease that was held when the renewal started, and is not in the
// answer, is lost. One that is only in the answer was taken by a takeover that
// seemed to fail, or whose answer is not here yet: it is adopted.
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

// hold adds a lease, unless its sale is held already.
func (l *leases) hold(lease ledger.Lease) bool {
	if _, held := l.held[lease.Sale]; held {
		return false
	}
	l.held[lease.Sale] = lease
	return true
}

// away returns the sales that this allocator leaves to others now.
func (l *leases) away(now time.Time) map[sale.ID]bool {
	away := maps.Clone(l.releasing)
	for id, until := range l.resting {
		if now.Before(until) {
			away[id] = true
		} else {
			delete(l.resting, id)
		}
	}
	return away
}

// skip lists the sales that a takeover should leave alone now.
func (l *leases) skip(now time.Time) []sale.ID { return slices.Sorted(maps.Keys(l.away(now))) }

// taken takes the answer to a takeover and returns the leases that are new.
func (l *leases) taken(answer []ledger.Lease) (taken []ledger.Lease) {
	for _, lease := range answer {
		if l.hold(lease) {
			taken = append(taken, lease)
		}
	}
	return taken
}

// ended says that the term of a lease has stopped by itself, and why. If it
// returns true, the caller must give the lease back and then call released. After
// that the sale can be taken again; where it is better decided elsewhere, this
// allocator waits a while, and others do not.
func (l *leases) ended(lease ledger.Lease, why error, now time.Time) bool {
	if l.held[lease.Sale] != lease {
		return false
	}
	delete(l.held, lease.Sale)
	l.releasing[lease.Sale] = true
	switch {
	case errors.Is(why, ErrGiveUp):
		l.resting[lease.Sale] = now.Add(restAfterGivingUp)
	case errors.Is(why, errStalled):
		l.resting[lease.Sale] = now.Add(restAfterStalling)
	}
	return true
}

// released says that the attempt to give a lease back is over. If it failed, the
// next renewal tells.
func (l *leases) released(id sale.ID) { delete(l.releasing, id) }
