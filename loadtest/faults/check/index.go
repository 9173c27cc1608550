package check

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

func newChecker(h *History, o Options) *checker {
	c := &checker{
		history: h, options: o, ops: make([]op, len(h.Operations)),
		byID: map[sale.ID]*ledger{}, byCode: map[string]*story{},
		report: &Report{Violated: map[Invariant]int{}},
	}
	for i := range h.Ledgers {
		c.addLedger(&h.Ledgers[i])
	}
	memo := map[string]answer{} // many answers are the same
	for i := range h.Operations {
		c.addOperation(i, memo)
	}
	for _, s := range c.stories {
		slices.SortStableFunc(s.ops, func(a, b *op) int { return cmp.Compare(a.Start, b.Start) })
		for _, o := range s.ops {
			if s.sent == nil && o.mayBePublished() {
				s.sent = o
			}
		}
	}
	for _, b := range c.ledgers {
		c.addDecisions(b)
	}
	return c
}

func (c *checker) addLedger(l *Ledger) {
	b := &ledger{Ledger: l, owner: make(map[sale.ItemID]*entry, len(l.Sold)), grants: map[string][]*entry{}}
	if c.byID[l.Sale] != nil || l.Stock < 1 || l.UserLimit < 1 {
		c.findf(Input, nil, "the ledger of sale %d is there twice, or without stock or limit", l.Sale)
		return
	}
	c.byID[l.Sale] = b
	c.ledgers = append(c.ledgers, b)
}

func (c *checker) addOperation(i int, memo map[string]answer) {
	o := &c.ops[i]
	*o = op{Operation: &c.history.Operations[i], number: i}
	o.ledger = c.ledgerOf(o.Operation)
	if o.Kind != Checkout {
		limit := 0
		if o.ledger != nil {
			limit = o.ledger.UserLimit
		}
		key := string(o.Kind) + fmt.Sprint(o.Status, o.End == 0, limit) + string(o.Body)
		a, known := memo[key]
		if !known {
			a = read(o.Operation, limit)
			memo[key] = a
		}
		o.answer = a
	}
	if why := senseless(o); why != "" {
		c.findf(Input, []*op{o}, "operation %d %s", i, why)
	}
	c.tell(o)
}

// senseless says why an operation cannot be what a client saw.
func senseless(o *op) string {
	switch {
	case (o.Status == 0) != (o.End == 0):
		return "has an answer without its time, or a time without answer"
	case o.End != 0 && o.End < o.Start:
		return "ends before it starts"
	case o.Kind == Checkout:
		if o.Status == http.StatusOK && o.Code == "" {
			return "was given no code"
		}
		return ""
	case o.Kind != Purchase && o.Kind != Lookup:
		return "is of an unknown kind"
	case o.Code == "" && o.answer.tells != invalid && o.answer.tells != nothing:
		return "asks about no code, and was answered"
	case o.Code != "" && o.ledger == nil:
		return "belongs to no sale whose ledger is known"
	}
	return ""
}

// tell adds the operation to the story of its code.
func (c *checker) tell(o *op) {
	if o.Code == "" || o.Kind == Checkout && o.Status != http.StatusOK {
		return
	}
	s := c.byCode[o.Code]
	if s == nil {
		s = &story{code: o.Code, ledger: o.ledger}
		c.byCode[o.Code] = s
		c.stories = append(c.stories, s)
	} else if first := s.claims(); first.Item != o.Item || first.User != o.User || first.ledger != o.ledger {
		c.findf(Input, []*op{first, o}, "code %s is said to be for two items, users or sales", o.Code)
	}
	if o.Kind == Checkout {
		s.issued = append(s.issued, o)
	} else {
		s.ops = append(s.ops, o)
	}
}

// ledgerOf returns the ledger of an operation's sale.
func (c *checker) ledgerOf(o *Operation) *ledger {
	if o.Sale != 0 {
		return c.byID[o.Sale]
	}
	for _, b := range c.ledgers {
		if b.contains(o.Item) {
			return b
		}
	}
	return nil
}

func (c *checker) addDecisions(b *ledger) {
	b.entries = make([]entry, len(b.Decisions))
	for i := range b.Decisions {
		d := &b.Decisions[i]
		b.entries[i] = entry{Decision: d, story: c.byCode[d.Code]}
	}
	slices.SortStableFunc(b.entries, func(x, y entry) int { return cmp.Compare(x.Position, y.Position) })
	for i := range b.entries {
		e := &b.entries[i]
		e.rank = i
		if e.story != nil && e.story.decision != nil {
			c.findf(I3, e.story.evidence(), "code %s was decided twice: %v and %v", e.Code, e.story.decision.Decision, e.Decision)
		} else if e.story != nil {
			e.story.decision = e
		}
		if e.Reason == allocation.Granted {
			c.addGrant(b, e)
		}
	}
}

func (c *checker) addGrant(b *ledger, e *entry) {
	b.sold = append(b.sold, e)
	b.grants[e.User] = append(b.grants[e.User], e)
	if first := b.owner[e.Item]; first != nil {
		c.findf(I1, slices.Concat(first.story.evidence(), e.story.evidence()), "item %v was sold twice: %v and %v", e.Item, first.Decision, e.Decision)
		return
	}
	b.owner[e.Item] = e
}

// decisive returns the grant that made a reason true for an item or user, or
// nil if it never came true.
func (b *ledger) decisive(reason allocation.Reason, item sale.ItemID, user string) *entry {
	switch reason {
	case allocation.ItemTaken:
		return b.owner[item]
	case allocation.LimitReached:
		if g := b.grants[user]; len(g) >= b.UserLimit {
			return g[b.UserLimit-1]
		}
	case allocation.SoldOut:
		if len(b.sold) >= b.Stock {
			return b.sold[b.Stock-1]
		}
	}
	return nil
}
