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

// trail is what an audit has replayed, as far as a question needs it.
type trail struct {
	question Question // completed by the requests that were replayed

	sale     sale.Sale
	cursor   allocation.Cursor // the ledger's when the audit began
	sequence uint64            // replayed so far
	position int64
	requests []Request // in question
	total    int64
	decision *allocation.Decision // of the first of them
	grants   []Request            // of all items, in order
}

// Opened implements Watcher.
func (t *trail) Opened(o *stream.Opening, s *ledger.Snapshot) {
	*t = trail{question: t.question, sale: o.Sale, cursor: s.Position.Cursor, sequence: o.Message.Sequence, requests: []Request{}}
}

// Packed implements Watcher.
func (t *trail) Packed(m *stream.Message, p *allocation.Pack, b *allocation.Batch) {
	t.sequence, t.position = m.Sequence, b.After.Position
	for i := range b.Replies { // one for each request, except where a pack could not be read
		r, d := &p.Requests[i], &b.Replies[i].Decision
		position := b.Before.Position + 1 + int64(i)
		granted := d.Reason == allocation.Granted && d.Position == position
		concerns := t.concerns(r.Code, r.Item, r.User)
		if !granted && !concerns {
			continue
		}
		seen := asked(m, p.Edge, position, r)
		seen.decide(d)
		if granted {
			t.grants = append(t.grants, seen)
		}
		if concerns {
			t.see(&seen, d)
			t.learn(r)
		}
	}
}

// Committed implements Watcher.
func (t *trail) Committed(*ledger.CommitRow) {}

// Lost implements Watcher.
func (t *trail) Lost(h *ledger.HoleRow, unproved []allocation.Decision) {
	t.sequence, t.position = h.Matching, h.CursorPosition
	for i := range unproved {
		d := &unproved[i]
		seen := Request{Position: d.Position, Time: d.At.String(), Code: d.Code.String(), Item: d.Item, User: d.User, Unproved: true}
		seen.decide(d)
		if d.Reason == allocation.Granted {
			t.grants = append(t.grants, seen)
		}
		if t.concerns(d.Code, d.Item, d.User) {
			t.see(&seen, d)
			t.learn(&allocation.Request{Item: d.Item, User: d.User, Expires: t.question.Expires})
		}
	}
}

// concerns reports whether a request is one of those in question.
func (t *trail) concerns(id code.ID, item sale.ItemID, user sale.UserID) bool {
	switch q := &t.question; {
	case !q.Code.IsZero():
		return id == q.Code
	case q.Item != 0:
		return item == q.Item
	default:
		return user == q.User
	}
}

// shown is how many of them are kept.
func (t *trail) shown() int {
	if t.question.Code.IsZero() && t.question.Item != 0 {
		return MaxRace
	}
	return MaxRequests
}

func (t *trail) see(r *Request, d *allocation.Decision) {
	if t.total++; t.total == 1 {
		first := *d
		t.decision = &first
	}
	if len(t.requests) < t.shown() {
		t.requests = append(t.requests, *r)
	}
}

// learn takes from a request what the code in question says of itself.
func (t *trail) learn(r *allocation.Request) {
	if q := &t.question; !q.Code.IsZero() {
		q.Item, q.User, q.Expires = r.Item, r.User, r.Expires
	}
}

// verdict returns what was decided about the code in question, and what a
// refusal rests on.
func (t *trail) verdict() (Verdict, []Cause) {
	switch d := t.decision; d.Reason { //nolint:exhaustive // the others rest on something
	case allocation.Granted:
		return Granted, nil
	case allocation.Malformed:
		return Refused, nil
	default:
		return Refused, []Cause{t.cause(d.Reason, d.At)}
	}
}

// against returns all for which the code in question would be refused, in the order
// in which the engine looks at it.
func (t *trail) against() (causes []Cause) {
	if e := t.question.Expires; e != 0 && e < t.cursor.Now {
		causes = append(causes, t.cause(allocation.CodeExpired, t.cursor.Now))
	}
	for _, reason := range allocation.OfOthers() {
		if c := t.cause(reason, t.cursor.Now); c.LostTo != nil {
			causes = append(causes, c)
		}
	}
	return causes
}

// cause returns what a refusal for the reason at that engine time rests on.
func (t *trail) cause(reason allocation.Reason, now sale.Instant) Cause {
	c := Cause{Reason: reason.String()}
	switch q := &t.question; reason.Scope() {
	case allocation.ScopeCode:
		if reason != allocation.CodeExpired {
			break
		}
		if c.Engine = now.String(); q.Expires != 0 {
			c.Expires = q.Expires.String()
		}
	case allocation.ScopeSale:
		c.LostTo, c.Grants = t.granted(t.sale.Stock, func(*Request) bool { return true })
	case allocation.ScopeUser:
		c.LostTo, c.Grants = t.granted(t.sale.UserLimit, func(r *Request) bool { return r.User == q.User })
	case allocation.ScopeItem:
		c.LostTo, _ = t.granted(1, func(r *Request) bool { return r.Item == q.Item })
	}
	return c
}

// granted returns the nth grant of a kind, nil if there are fewer, and how many
// there are.
func (t *trail) granted(nth int, of func(*Request) bool) (r *Request, total int) {
	for i := range t.grants {
		if of(&t.grants[i]) {
			if total++; total == nth {
				r = &t.grants[i]
			}
		}
	}
	return r, total
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
