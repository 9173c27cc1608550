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
// the code's ID in hexadecimal serves best. The secret code itself must not be
// used; a history is made to be kept.
type Operation struct {
	Client  int          `json:"client"`
	Kind    Kind         `json:"kind"`
	Edge    string       `json:"edge,omitempty"`
	Start   int64        `json:"start"`           // ns, before the first byte was sent
	End     int64        `json:"end,omitempty"`   // ns, after the last byte came; 0: no answer
	Sale    sale.ID      `json:"sale,omitempty"`  // 0: not known, a checkout's follows from its item
	Item    sale.ItemID  `json:"item,omitempty"`  // 0: not an item id, see Param
	Param   string       `json:"param,omitempty"` // item as a checkout sent it, where Item is 0
	User    string       `json:"user,omitempty"`  // as sent
	Code    string       `json:"code,omitempty"`  // asked about; given, for a checkout answered 200
	Expires sale.Instant `json:"expires,omitempty"`
	Status  int          `json:"status,omitempty"` // 0: no answer
	Body    []byte       `json:"-"`                // whole, where there was an answer
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
	Position int64             `json:"position"`
	Code     string            `json:"code,omitempty"` // empty: the request could not be read
	Item     sale.ItemID       `json:"item,omitempty"`
	User     string            `json:"user,omitempty"`
	Reason   allocation.Reason `json:"reason"`
	At       sale.Instant      `json:"at"`
}

// Sold is a row of items: one with an owner.
type Sold struct {
	Item     sale.ItemID `json:"item"`
	User     string      `json:"user"`
	Code     string      `json:"code"`
	Position int64       `json:"position"`
}

// Attempt is a row of checkout_attempts.
type Attempt struct {
	ID      string       `json:"id,omitempty"` // empty: not told
	Sale    sale.ID      `json:"sale,omitempty"`
	User    string       `json:"user"`
	Item    string       `json:"item"`
	Outcome wire.Outcome `json:"outcome"`
	Code    string       `json:"code,omitempty"` // of issued ones
}

// Pack is a message of a sale's stream.
type Pack struct {
	Position int64        `json:"position"` // of its last request
	Time     sale.Instant `json:"time"`     // the stream's timestamp
}

// Ledger is what the ledger says of one sale after the run.
type Ledger struct {
	Sale      sale.ID     `json:"sale"`
	Stock     int         `json:"stock"`
	UserLimit int         `json:"user_limit"`
	FirstItem sale.ItemID `json:"first_item"`
	Rules     int         `json:"rules"`
	Holes     int         `json:"holes,omitempty"`

	Decisions []Decision `json:"-"` // in any order
	Sold      []Sold     `json:"-"` // in any order
	Packs     []Pack     `json:"-"` // in stream order; may be left out
}

// contains reports whether the item belongs to the sale.
func (l *Ledger) contains(item sale.ItemID) bool {
	return item >= l.FirstItem && item < l.FirstItem+sale.ItemID(l.Stock)
}

// History is everything that is known of a run. It must hold all operations
// that reached the sales of its ledgers, with times of one monotonic clock.
type History struct {
	// Origin is the wall clock at time 0 of the operations, in ns since the
	// Unix epoch. 0: not known, then no clocks are compared.
	Origin     int64
	Ledgers    []Ledger
	Attempts   []Attempt // of all sales, and of none
	Operations []Operation
}

// millis prints a time of the history.
func millis(ns int64) string { return strconv.FormatFloat(float64(ns)/1e6, 'f', 3, 64) + "ms" }
