package check

import (
	"strconv"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Kind is what a client did.
type Kind string

// The kinds of operation.
const (
	Checkout Kind = "checkout" // POST /checkout
	Purchase Kind = "purchase" // POST /purchase
	Lookup   Kind = "lookup"   // GET /purchase
)

// Operation is one request of a client and its answer. A retry, and a request
// that went to another edge, is an operation of its own. An answer that broke
// off is no answer.
//
// Codes are named by any text that tells them apart, the same in the ledger:
// the code's ID in hexadecimal serves best.
type Operation struct {
	Client  int
	Kind    Kind
	Edge    string
	Start   int64       // ns, before the first byte was sent
	End     int64       // ns, after the last byte came; 0: no answer
	Sale    sale.ID     // 0: not known, a checkout's follows from its item
	Item    sale.ItemID // 0: not an item id, see Param
	Param   string      // item as a checkout sent it, where Item is 0
	User    string      // as sent
	Code    string      // asked about; given, for a checkout answered 200
	Expires sale.Instant
	Status  int    // 0: no answer
	Body    []byte // whole, where there was an answer
}

// Answered reports whether the client got an answer.
func (o *Operation) Answered() bool { return o.Status != 0 && o.End != 0 }

// itemParam is the item as it was sent.
func (o *Operation) itemParam() string {
	if o.Item != 0 {
		return o.Item.String()
	}
	return o.Param
}

// Decision is a row of decisions.
type Decision struct {
	Position int64
	Code     string // empty: the request could not be read
	Item     sale.ItemID
	User     string
	Reason   allocation.Reason
	At       sale.Instant
}

// Sold is a row of items: one with an owner.
type Sold struct {
	Item     sale.ItemID
	User     string
	Code     string
	Position int64
}

// Attempt is a row of checkout_attempts.
type Attempt struct {
	ID      string // empty: not told
	Sale    sale.ID
	User    string
	Item    string
	Outcome wire.Outcome
	Code    string // of issued ones
}

// Ledger is what the ledger says of one sale after the run.
type Ledger struct {
	Sale      sale.ID
	Stock     int
	UserLimit int
	FirstItem sale.ItemID
	Rules     int
	Holes     int

	Decisions []Decision // in any order
	Sold      []Sold     // in any order
}

// contains reports whether the item belongs to the sale.
func (l *Ledger) contains(item sale.ItemID) bool {
	return item >= l.FirstItem && item < l.FirstItem+sale.ItemID(l.Stock)
}

// History is everything that is known of a run. It must hold all operations
// that reached the sales of its ledgers, with times of one monotonic clock.
type History struct {
	Ledgers    []Ledger
	Attempts   []Attempt // of all sales, and of none
	Operations []Operation
}

// millis prints a time of the history.
func millis(ns int64) string { return strconv.FormatFloat(float64(ns)/1e6, 'f', 3, 64) + "ms" }
