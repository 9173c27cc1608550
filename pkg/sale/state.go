package sale

// State is how far a sale has come. It only ever moves forward. The texts are
// stored.
type State string

// The states of a sale.
const (
	Preparing State = "preparing" // its row exists, its streams may not; nobody sees it
	Open      State = "open"      // it sells
	SoldOut   State = "sold_out"  // every item has an owner; its codes are still answered
	Archiving State = "archiving" // sold out, and its streams take nothing more; all is answered from the ledger
	Archived  State = "archived"  // as Archiving, and its streams are gone
)

// Closed reports whether the sale's streams take nothing more: whoever asks is
// answered from the ledger. A program that does not know such a state publishes
// all the same, which fails and harms nobody.
func (s State) Closed() bool { return s == Archiving || s == Archived }

// After reports whether a sale comes into this state later than into the other.
// A state that only a later version knows comes after all others.
func (s State) After(other State) bool { return s.rank() > other.rank() }

func (s State) rank() int {
	switch s {
	case Preparing:
		return 1
	case Open:
		return 2
	case SoldOut:
		return 3
	case Archiving:
		return 4
	case Archived:
		return 5
	default:
		return 6
	}
}
