package check

import (
	"fmt"
	"net/http"
	"strconv"

	"notsale/pkg/allocation"
)

// checkCheckouts: refusals of checkouts come from the cache and must be true.
func (c *checker) checkCheckouts() {
	for i := range c.ops {
		o := &c.ops[i]
		reason := checkoutReason(o)
		if reason == allocation.Granted || o.ledger == nil {
			continue
		}
		if why := o.ledger.untrueFact(reason, o.Item, o.User, ""); why != "" {
			c.findf(I6, []*op{o}, "a checkout was refused as %v, but %s", reason, why)
		}
	}
}

// checkoutReason is the reason of a checkout that the cache refused, or Granted.
func checkoutReason(o *op) allocation.Reason {
	switch {
	case o.Kind != Checkout:
	case o.Status == http.StatusConflict:
		return allocation.ItemTaken
	case o.Status == http.StatusGone:
		return allocation.SoldOut
	}
	return allocation.Granted
}

// checkOrder checks that no answer proves a decision that cannot have been
// made yet: I7, and I6 for the cache. See the package's comment.
func (c *checker) checkOrder(b *ledger) {
	if len(b.entries) == 0 {
		return
	}
	b.setSince()
	c.setTold(b)
	for p := range proofs {
		c.checkProofs(b, proof(p))
	}
}

// checkProofs checks proofs of one sort. Decisions that contradict the same
// late request make one finding: the first of them is shown.
func (c *checker) checkProofs(b *ledger, p proof) {
	var first *entry
	behind := 0
	flush := func() {
		if first != nil {
			c.tooSoon(first, p, behind)
		}
		first, behind = nil, 0
	}
	for i := range b.entries {
		e := &b.entries[i]
		if first != nil && first.since != e.since {
			flush()
		}
		// Where a decision's own answer comes too soon, so does what rests on it.
		if e.tooSoon(p) && (p != byFact || !e.tooSoon(byAnswer)) {
			if first == nil {
				first = e
			}
			behind++
		}
	}
	flush()
}

// tooSoon reports whether the answer came before the decision can have been made.
func (e *entry) tooSoon(p proof) bool {
	return e.told[p] != nil && e.since != nil && e.since.Start > e.told[p].End
}

func (c *checker) tooSoon(e *entry, p proof, behind int) {
	o, late := e.told[p], e.since
	more := ""
	if behind > 1 {
		more = fmt.Sprintf(" (and so for %d decisions after it)", behind-1)
	}
	c.findf(proofs[p].invariant, []*op{o, late}, "%s %s, so there was %v; but code %s, at %s and so not behind it, was sent %s later%s",
		o.name(), proofs[p].text, e.Decision, late.Code, c.placeOf(late), millis(late.Start-o.End), more)
}

// name says which operation it is within a sentence.
func (o *op) name() string {
	if o.Code == "" {
		return "a checkout"
	}
	return "code " + o.Code
}

// placeOf says which place the code of an operation has.
func (c *checker) placeOf(o *op) string {
	if s := c.byCode[o.Code]; s != nil && s.decision != nil {
		return "position " + strconv.FormatInt(s.decision.Position, 10)
	}
	return "no position"
}

// setSince sets the earliest moment at which each decision can have been made.
func (b *ledger) setSince() {
	var latest *op
	for i := range b.entries {
		e := &b.entries[i]
		if s := e.story; s != nil && s.decision == e && s.sent != nil && (latest == nil || s.sent.Start > latest.Start) {
			latest = s.sent
		}
		e.since = latest
	}
}

// setTold sets the first answers that prove each decision made.
func (c *checker) setTold(b *ledger) {
	for i := range c.ops {
		o := &c.ops[i]
		if o.ledger != b || !o.Answered() {
			continue
		}
		if reason := checkoutReason(o); reason != allocation.Granted {
			b.decisive(reason, o.Item, o.User).prove(byFact, o)
		}
		s := c.byCode[o.Code]
		if o.Kind == Checkout || s == nil {
			continue
		}
		switch o.answer.tells {
		case granted, refused:
			s.decision.prove(byAnswer, o)
		case pending:
			if b.Holes == 0 {
				s.decision.prove(byPromise, o)
			}
		case rejected:
			b.decisive(o.answer.reason, o.Item, o.User).prove(byFact, o)
		case nothing, undecided, invalid:
		}
	}
}

// prove keeps the first proof of a decision, if there is a decision.
func (e *entry) prove(p proof, o *op) {
	if e != nil && (e.told[p] == nil || o.End < e.told[p].End) {
		e.told[p] = o
	}
}

// checkLookups: what somebody was told, and anything before it, is in the
// ledger when a lookup is sent after that (I5; I6 if the cache told it).
func (c *checker) checkLookups(b *ledger) {
	var committed [byPromise][]*op // the first proof of each decision or a later one
	for p := range committed {
		committed[p] = make([]*op, len(b.entries))
		var first *op
		for i := len(b.entries) - 1; i >= 0; i-- {
			if o := b.entries[i].told[p]; o != nil && (first == nil || o.End < first.End) {
				first = o
			}
			committed[p][i] = first
		}
	}
	for i := range c.ops {
		o := &c.ops[i]
		s := c.byCode[o.Code]
		if o.ledger != b || o.answer.tells != undecided || s == nil || s.decision == nil {
			continue
		}
		for p, inv := range [...]Invariant{byAnswer: I5, byFact: I6} {
			if known := committed[p][s.decision.rank]; known != nil && known.End < o.Start {
				c.findf(inv, []*op{known, o}, "%s %s, but %v, no later than that, was not in the ledger for a lookup %s after that answer",
					known.name(), proofs[p].text, s.decision.Decision, millis(o.Start-known.End))
			}
		}
	}
}
