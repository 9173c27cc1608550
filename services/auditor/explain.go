package auditor

import (
	"context"
	"errors"
	"math"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Question says what is to be explained: a code, or else an item, or else a
// user. With a code the others are what it says of itself, zero where only its
// id is known.
type Question struct {
	Code    code.ID
	Item    sale.ItemID
	User    sale.UserID
	Expires sale.Instant
}

// Lookup answers what an explanation asks the ledger besides the audit.
type Lookup interface {
	// DecisionOf returns the recorded decision of a code, or ErrNotFound.
	DecisionOf(ctx context.Context, id code.ID) (sale.ID, allocation.Decision, error)
	// AttemptOf returns the checkout that gave the code, or ErrNotFound.
	AttemptOf(ctx context.Context, id sale.ID, given code.ID) (ledger.RecordedAttempt, error)
	// Outcomes counts a user's checkouts by what became of them.
	Outcomes(ctx context.Context, id sale.ID, user sale.UserID) (map[wire.Outcome]int, error)
}

// Verdict is what became of a code.
type Verdict string

// The verdicts.
const (
	Granted Verdict = "granted"
	Refused Verdict = "refused"
	Waiting Verdict = "waiting" // in the stream, beyond the cursor
	// NeverQueued: nothing in the stream asks with it. It was refused from the
	// cache, or it was never sent.
	NeverQueued Verdict = "never-queued"
	// Unknown: the replay had to end before the cursor, and up to there nothing was
	// found. Of a user it is said beside what was found.
	Unknown Verdict = "unknown"
)

// Request is one request in the queue of a sale.
type Request struct {
	Position int64       `json:"position"`           // of a waiting one: that it will take
	Sequence uint64      `json:"sequence,omitempty"` // of its message
	Time     string      `json:"time"`               // the stream's
	Edge     string      `json:"edge,omitempty"`     // that queued it
	Code     string      `json:"code_id"`
	Item     sale.ItemID `json:"item"`
	User     sale.UserID `json:"user"`
	Expires  string      `json:"code_expires,omitempty"`
	Reason   string      `json:"reason,omitempty"`           // granted, or why not; empty: not decided
	Decided  int64       `json:"decided_position,omitempty"` // whose decision it is: a lower one for a repeat
	Engine   string      `json:"engine_time,omitempty"`
	// Unproved: its message is lost in a hole, so the ledger alone speaks for
	// it; Time is the engine's then, and there is neither sequence nor edge.
	Unproved bool `json:"unproved,omitempty"`
}

// Repeat reports whether the request got the answer of an earlier one.
func (r *Request) Repeat() bool { return r.Decided != 0 && r.Decided < r.Position }

// Cause is what a refusal rests on.
type Cause struct {
	Reason string   `json:"reason"`
	LostTo *Request `json:"lost_to,omitempty"` // the grant that made it true
	Grants int      `json:"grants,omitempty"`  // sold in all, or to the user
	// Expires and Engine: the code expired before the time at which the request
	// was decided, or of the sale.
	Expires string `json:"code_expires,omitempty"`
	Engine  string `json:"engine_time,omitempty"`
}

// Checkout is the attempt that gave a code.
type Checkout struct {
	Time    string `json:"time"` // by the edge's clock
	Edge    string `json:"edge"`
	Expires string `json:"code_expires"`
}

// Queue is what the stream has beyond the cursor, undecided.
type Queue struct {
	Messages int64     `json:"messages"`
	Requests int64     `json:"requests"`
	Asked    []Request `json:"asked,omitempty"` // those in question
}

// Explanation says what became of a code, an item or a user in a sale, as the
// replay of its stream proves it.
type Explanation struct {
	Sale      sale.ID     `json:"sale"`
	UUID      sale.UUID   `json:"uuid"`
	Stock     int         `json:"stock"`
	UserLimit int         `json:"user_limit"`
	Sold      int         `json:"sold"`
	Sequence  uint64      `json:"sequence"` // replayed up to this message
	Position  int64       `json:"position"`
	Code      string      `json:"code_id,omitempty"`
	Item      sale.ItemID `json:"item,omitempty"`
	User      sale.UserID `json:"user,omitempty"`

	Verdict  Verdict   `json:"verdict,omitempty"`        // of a code; else Unknown or empty
	Requests []Request `json:"requests"`                 // those in question, the first of them
	Total    int64     `json:"total_requests"`           // how many there are
	Owner    *Request  `json:"owner,omitempty"`          // of an item
	Grants   int       `json:"granted"`                  // to the user
	Causes   []Cause   `json:"causes,omitempty"`         // of a code's refusal, or of the one that it would get
	Checkout *Checkout `json:"checkout,omitempty"`       // of a code, if recorded
	Outcomes Outcomes  `json:"checkouts,omitempty"`      // of a user
	Waiting  Queue     `json:"waiting"`                  // beyond the cursor
	Disagree []Finding `json:"disagreements,omitempty"`  // about what was asked
	Others   int       `json:"other_findings,omitempty"` // about other things in the sale
}

// Outcomes counts checkouts by what became of them.
type Outcomes map[wire.Outcome]int

// Agree reports whether ledger and stream say the same about what was asked.
func (x *Explanation) Agree() bool { return len(x.Disagree) == 0 }

// Explain audits the sale and says what the replay shows about the question,
// up to the cursor that the ledger has when it begins. Of the options, those hold
// that say how to work.
func Explain(ctx context.Context, l Ledger, streams Streams, lookup Lookup, id sale.ID, q Question, o Options) (*Explanation, error) {
	t := &trail{question: q}
	o.Watcher, o.Against, o.RequestsOnly = t, nil, true
	x := &Explanation{Sale: id}
	if err := x.readCheckouts(ctx, lookup, t); err != nil {
		return nil, err
	}
	report, err := Audit(ctx, l, streams, id, o)
	if err != nil {
		return nil, err
	}
	if err := x.readQueue(ctx, streams, t); err != nil {
		return nil, err
	}
	x.tell(t, report.stoppedAt > 0 || t.sequence < t.cursor.Sequence)
	if err := x.compare(ctx, lookup, t, report); err != nil {
		return nil, err
	}
	return x, nil
}

// readCheckouts reads what the ledger knows of checkouts. A code of which only
// the id is given gets its claims from there.
func (x *Explanation) readCheckouts(ctx context.Context, lookup Lookup, t *trail) (err error) {
	q := &t.question
	if q.Code.IsZero() {
		if q.User != "" {
			x.Outcomes, err = lookup.Outcomes(ctx, x.Sale, q.User)
		}
		return err
	}
	a, err := lookup.AttemptOf(ctx, x.Sale, q.Code)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	x.Checkout = &Checkout{Time: a.At.String(), Edge: a.Edge, Expires: a.Expires.String()}
	if q.Item == 0 {
		q.Item, _ = sale.ParseItemID(a.Item) // an edge had read it before it gave the code
		q.User, q.Expires = sale.UserID(a.User), a.Expires
	}
	return nil
}

// readQueue reads the stream beyond the cursor.
func (x *Explanation) readQueue(ctx context.Context, streams Streams, t *trail) error {
	position := t.cursor.Position
	for m, err := range streams.Messages(ctx, x.Sale, t.cursor.Sequence+1, math.MaxUint64) {
		if err != nil {
			return err
		}
		x.Waiting.Messages++
		p, err := wire.ReadPack(m.Sequence, m.Time, m.Data)
		if err != nil {
			p.Requests = []allocation.Request{{}} // of a newer version: how many it has is not known
		}
		for i := range p.Requests {
			x.Waiting.Requests++
			position++
			if r := &p.Requests[i]; t.concerns(r.Code, r.Item, r.User) && len(x.Waiting.Asked) < t.shown() {
				x.Waiting.Asked = append(x.Waiting.Asked, asked(&m, p.Edge, position, r))
				t.learn(r)
			}
		}
	}
	return nil
}

// tell writes down what was replayed; short: of a part of the sale only.
func (x *Explanation) tell(t *trail, short bool) {
	x.UUID, x.Stock, x.UserLimit, x.Sold = t.sale.UUID, t.sale.Stock, t.sale.UserLimit, len(t.grants)
	x.Sequence, x.Position = t.sequence, t.position
	x.Requests, x.Total = t.requests, t.total
	q := &t.question
	x.Item, x.User = q.Item, q.User
	_, x.Grants = t.granted(0, func(r *Request) bool { return r.User == q.User })
	switch {
	case q.Code.IsZero() && q.Item != 0:
		if x.Owner, _ = t.granted(1, func(r *Request) bool { return r.Item == q.Item }); x.Owner != nil {
			return
		}
	case !q.Code.IsZero():
		x.Code = q.Code.String()
		if t.decision != nil {
			x.Verdict, x.Causes = t.verdict()
			return
		}
		x.Causes = t.against()
		if x.Verdict = NeverQueued; len(x.Waiting.Asked) > 0 {
			x.Verdict = Waiting
		}
	}
	if short {
		x.Verdict = Unknown
	}
}

// compare keeps the audit's findings that bear on the explanation.
func (x *Explanation) compare(ctx context.Context, lookup Lookup, t *trail, r *Report) error {
	positions := map[int64]bool{}
	if x.Owner != nil {
		positions[x.Owner.Position] = true
	}
	for i := range x.Requests {
		positions[x.Requests[i].Decided] = true
	}
	for i := range x.Causes {
		if grant := x.Causes[i].LostTo; grant != nil {
			positions[grant.Position] = true
		}
	}
	if x.Code != "" {
		// A decision that the stream does not give is at another position.
		_, d, err := lookup.DecisionOf(ctx, t.question.Code)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		positions[d.Position] = true
	}
	delete(positions, 0)
	for _, f := range r.Findings {
		switch {
		case f.Kind == LostStream, f.Hole > 0 && f.Hole == r.stoppedAt,
			(f.Table == "decisions" || f.Table == "items") && (positions[f.Position] || x.names(&f)):
			x.Disagree = append(x.Disagree, f)
		}
	}
	x.Others = r.Total - len(x.Disagree)
	return nil
}

// names reports whether a finding names the item or the user in question.
func (x *Explanation) names(f *Finding) bool {
	switch {
	case x.Item != 0 && f.Table == "items" && f.Row == x.Item.String():
		return true
	case x.Item != 0 && f.Field == "item_id" && f.Ledger == x.Item.String():
		return true
	}
	return x.User != "" && f.Field == "user_id" && f.Ledger == string(x.User)
}
