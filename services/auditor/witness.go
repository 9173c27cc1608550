package auditor

import (
	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// How many requests an explanation shows; the others are counted.
const (
	MaxRace     = 20   // for an item
	MaxRequests = 1000 // with a code, or of a user
)

// witness watches an audit for what a question needs.
type witness struct {
	question Question // completed by the requests that are met

	sale     sale.Sale
	cursor   allocation.Cursor // the ledger's when the audit began
	sequence uint64            // replayed so far
	position int64
	sold     int
	requests []Request // in question
	total    int64
	decision *allocation.Decision // of the first of them

	owners  map[sale.ItemID]*Request
	grants  map[sale.UserID]int
	atLimit map[sale.UserID]*Request // with which they reached it
	last    *Request                 // with which everything was sold
}

// Opened implements Watcher.
func (w *witness) Opened(o *stream.Opening, s *ledger.Snapshot) {
	*w = witness{
		question: w.question, sale: o.Sale, cursor: s.Position.Cursor, sequence: o.Message.Sequence,
		requests: []Request{}, owners: map[sale.ItemID]*Request{}, grants: map[sale.UserID]int{}, atLimit: map[sale.UserID]*Request{},
	}
}

// Packed implements Watcher.
func (w *witness) Packed(m *stream.Message, p *allocation.Pack, b *allocation.Batch) {
	w.sequence, w.position = m.Sequence, b.After.Position
	for i := range b.Replies { // one for each request, except where a pack could not be read
		r, d := &p.Requests[i], &b.Replies[i].Decision
		position := b.Before.Position + 1 + int64(i)
		granted := d.Reason == allocation.Granted && d.Position == position
		concerns := w.concerns(r.Code, r.Item, r.User)
		if !granted && !concerns {
			continue
		}
		seen := asked(m, p.Edge, position, r)
		seen.decide(d)
		if granted {
			w.grant(&seen)
		}
		if concerns {
			w.see(&seen, d)
			w.learn(r)
		}
	}
}

// Committed implements Watcher.
func (w *witness) Committed(*ledger.CommitRow) {}

// Crossed implements Watcher.
func (w *witness) Crossed(h *ledger.HoleRow, unproved []allocation.Decision) {
	w.sequence, w.position = h.Matching, h.CursorPosition
	for i := range unproved {
		d := &unproved[i]
		seen := Request{Position: d.Position, Time: d.At.String(), Code: d.Code.String(), Item: d.Item, User: d.User, Unproved: true}
		seen.decide(d)
		if d.Reason == allocation.Granted {
			w.grant(&seen)
		}
		if w.concerns(d.Code, d.Item, d.User) {
			w.see(&seen, d)
			w.learn(&allocation.Request{Item: d.Item, User: d.User, Expires: w.question.Expires})
		}
	}
}

// concerns reports whether a request is one of those in question.
func (w *witness) concerns(id code.ID, item sale.ItemID, user sale.UserID) bool {
	switch q := &w.question; {
	case !q.Code.IsZero():
		return id == q.Code
	case q.Item != 0:
		return item == q.Item
	default:
		return user == q.User
	}
}

// shown is how many of them are kept.
func (w *witness) shown() int {
	if w.question.Code.IsZero() && w.question.Item != 0 {
		return MaxRace
	}
	return MaxRequests
}

func (w *witness) see(r *Request, d *allocation.Decision) {
	if w.total++; w.total == 1 {
		first := *d
		w.decision = &first
	}
	if len(w.requests) < w.shown() {
		w.requests = append(w.requests, *r)
	}
}

// learn takes from a request what the code in question says of itself.
func (w *witness) learn(r *allocation.Request) {
	if q := &w.question; !q.Code.IsZero() {
		q.Item, q.User, q.Expires = r.Item, r.User, r.Expires
	}
}

// grant takes a grant in, and what it makes true for all later requests.
func (w *witness) grant(r *Request) {
	w.owners[r.Item] = r
	if w.sold++; w.sold == w.sale.Stock {
		w.last = r
	}
	if w.grants[r.User]++; w.grants[r.User] == w.sale.UserLimit {
		w.atLimit[r.User] = r
	}
}

// verdict returns what was decided about the code in question, and what a
// refusal rests on.
func (w *witness) verdict() (Verdict, []Cause) {
	switch d := w.decision; d.Reason { //nolint:exhaustive // the others rest on something
	case allocation.Granted:
		return Granted, nil
	case allocation.Malformed:
		return Refused, nil
	default:
		return Refused, []Cause{w.cause(d.Reason, d.At)}
	}
}

// against returns all that stands against the code in question, in the order
// in which the engine looks at it.
func (w *witness) against() (causes []Cause) {
	if e := w.question.Expires; e != 0 && e < w.cursor.Now {
		causes = append(causes, w.cause(allocation.CodeExpired, w.cursor.Now))
	}
	for _, reason := range allocation.OfOthers() {
		if c := w.cause(reason, w.cursor.Now); c.LostTo != nil {
			causes = append(causes, c)
		}
	}
	return causes
}

// cause returns what a refusal for the reason at that engine time rests on.
func (w *witness) cause(reason allocation.Reason, now sale.Instant) Cause {
	c := Cause{Reason: reason.String()}
	switch q := &w.question; reason.Scope() {
	case allocation.ScopeCode:
		if reason != allocation.CodeExpired {
			break
		}
		if c.Engine = now.String(); q.Expires != 0 {
			c.Expires = q.Expires.String()
		}
	case allocation.ScopeSale:
		c.LostTo, c.Grants = w.last, w.sold
	case allocation.ScopeUser:
		c.LostTo, c.Grants = w.atLimit[q.User], w.grants[q.User]
	case allocation.ScopeItem:
		c.LostTo = w.owners[q.Item]
	}
	return c
}

// asked describes a request of a message.
func asked(m *stream.Message, edge string, position int64, r *allocation.Request) Request {
	return Request{
		Position: position, Sequence: m.Sequence, Time: m.Time.String(), Edge: edge, Code: r.Code.String(), Item: r.Item,
		User: r.User, Expires: r.Expires.String(),
	}
}

// decide adds the decision that the request got.
func (r *Request) decide(d *allocation.Decision) {
	r.Reason, r.Decided, r.Engine = d.Reason.String(), d.Position, d.At.String()
}
