package sale

import "slices"

// State is how far a sale has come. It only ever moves forward. The texts are
// stored.
type State string

// The states of a sale.
const (
	Preparing State = "preparing" // its row exists, its streams may not; nobody sees it
	Open      State = "open"      // it sells
	SoldOut   State = "sold_out"  // every item has an owner; its codes are still answered
	Archiving State = "archiving" // sold out, and its streams take no more; all is answered from the ledger
	Archived  State = "archived"  // as Archiving, and its streams are gone
)

// Closed reports whether the sale's streams take no more messages: every request is
// answered from the ledger. A program that does not know such a state publishes
// all the same, which fails and does no harm.
func (s State) Closed() bool { return s == Archiving || s == Archived }

// After reports whether a sale reaches this state later than the other. A state that
// only a later version knows comes after all others.
func (s State) After(other State) bool { return s.rank() > other.rank() }

func (s State) rank() int {
	order := [...]State{Preparing, Open, SoldOut, Archiving, Archived}
	if i := slices.Index(order[:], s); i >= 0 {
		return i
	}
	return len(order)
}
