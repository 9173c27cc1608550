package check

import (
	"bytes"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// checkStory checks all answers about one code against each other and against
// the ledger: I3, I5, I6 and Ack.
func (c *checker) checkStory(s *story) {
	if len(s.issued) > 1 {
		c.findf(I3, s.issued, "code %s was given twice", s.code)
	}
	c.checkSame(s)
	c.checkFinal(s)
	for _, o := range s.ops {
		if o.answer.flaw != "" {
			c.findf(flawed(o), []*op{o}, "the answer about code %s is none of the system's: %s", s.code, o.answer.flaw)
		}
	}
	if s.ledger == nil {
		return
	}
	c.checkGranted(s)
	c.checkRefused(s)
	if i := s.first(pending); i != nil && s.decision == nil && s.ledger.Holes == 0 {
		c.findf(Ack, []*op{i}, "code %s was answered 202, but was never decided", s.code)
	}
}

func flawed(o *op) Invariant {
	if o.answer.tells == granted {
		return I5
	}
	return I6
}

// first returns the first operation whose answer tells one of these.
func (s *story) first(which ...tells) *op {
	for _, o := range s.ops {
		if slices.Contains(which, o.answer.tells) {
			return o
		}
	}
	return nil
}

// checkSame: the same bytes for every 200, the same decision in every refusal
// by the engine, and not both.
func (c *checker) checkSame(s *story) {
	g, r := s.first(granted), s.first(refused)
	for _, o := range s.ops {
		switch {
		case o.answer.tells == granted && !bytes.Equal(o.Body, g.Body):
			c.findf(I3, []*op{g, o}, "code %s has two bodies: %s and %s", s.code, g.Body, o.Body)
			return
		case o.answer.tells == refused && (o.answer.reason != r.answer.reason || o.answer.position != r.answer.position || o.answer.at != r.answer.at):
			c.findf(I3, []*op{r, o}, "code %s was refused by two decisions", s.code)
			return
		}
	}
	if g != nil && r != nil {
		c.findf(I3, []*op{r, g}, "code %s has a decision that refuses and one that grants", s.code)
	}
}

// checkFinal: no refusal, whoever gave it, of a code that was granted.
func (c *checker) checkFinal(s *story) {
	r := s.first(refused, rejected, invalid)
	if r == nil {
		return
	}
	if g := s.first(granted); g != nil {
		c.findf(I6, []*op{r, g}, "code %s was refused for good, and was granted", s.code)
	} else if s.decision != nil && s.decision.Reason == allocation.Granted {
		c.findf(I6, []*op{r}, "code %s was refused for good, but the ledger says %v", s.code, s.decision.Decision)
	}
	if i := s.first(invalid); i != nil && len(s.issued) > 0 {
		c.findf(I6, []*op{s.issued[0], i}, "code %s was given by a checkout and called invalid", s.code)
	}
}

// checkGranted: what was told as sold is in the ledger, as it was told.
func (c *checker) checkGranted(s *story) {
	g := s.first(granted)
	if g == nil {
		return
	}
	a, e := &g.answer, s.decision
	switch {
	case e == nil:
		c.findf(I5, []*op{g}, "code %s was told to be granted, the ledger has no decision of it", s.code)
	case e.Reason != allocation.Granted:
		c.findf(I5, []*op{g}, "code %s was told to be granted, the ledger says %v", s.code, e.Decision)
	case a.position != e.Position || a.at != e.At:
		c.findf(I5, []*op{g}, "code %s was told to be granted at position %d, %v, the ledger says %v", s.code, a.position, a.at, e.Decision)
	case a.item != e.Item || a.user != e.User || a.sale != s.ledger.Sale:
		c.findf(I5, []*op{g}, "code %s was told to buy item %v of sale %d for user %q, the ledger says %v", s.code, a.item, a.sale, a.user, e.Decision)
	}
	if owner := s.ledger.owner[g.Item]; owner != nil && owner.Code != s.code {
		c.findf(I1, append([]*op{g}, owner.story.evidence()...), "code %s was told to own item %v, which belongs to code %s", s.code, g.Item, owner.Code)
	}
}

// checkRefused: refusals by the engine are in the ledger, and every reason is
// true.
func (c *checker) checkRefused(s *story) {
	if r := s.first(refused); r != nil {
		switch a, e := &r.answer, s.decision; {
		case e == nil:
			c.findf(I6, []*op{r}, "code %s was refused at position %d, the ledger has no decision of it", s.code, a.position)
		case a.reason != e.Reason || a.position != e.Position || a.at != e.At:
			c.findf(I3, []*op{r}, "code %s was refused as %v at position %d, %v, the ledger says %v", s.code, a.reason, a.position, a.at, e.Decision)
		}
	}
	for _, o := range s.ops {
		if o.answer.tells != refused && o.answer.tells != rejected || o.answer.flaw != "" {
			continue
		}
		if why := c.untrue(s, o); why != "" {
			c.findf(I6, []*op{o}, "code %s was refused as %v, but %s", s.code, o.answer.reason, why)
			return
		}
	}
}

// untrue says why a refusal's reason does not hold in the ledger.
func (c *checker) untrue(s *story, o *op) string {
	switch a := &o.answer; a.reason {
	case allocation.Malformed:
		if s.ledger.contains(o.Item) {
			return "it is a request for an item of the sale"
		}
	case allocation.CodeExpired:
		switch {
		case a.tells == rejected:
			return "no edge may judge that"
		case o.Expires != 0 && a.at <= o.Expires:
			return "it expires at " + o.Expires.String()
		}
	default:
		return s.ledger.untrueFact(a.reason, o.Item, o.User, s.code)
	}
	return ""
}

// untrueFact says why a reason that is a fact of the sale does not hold.
func (b *ledger) untrueFact(reason allocation.Reason, item sale.ItemID, user, code string) string {
	e := b.decisive(reason, item, user)
	if e != nil && (e.Code != code || code == "") {
		return ""
	}
	switch {
	case reason == allocation.ItemTaken && e == nil:
		return "item " + item.String() + " has no owner"
	case reason == allocation.LimitReached && e == nil:
		return "the user has fewer items than the limit"
	case reason == allocation.SoldOut && e == nil:
		return "the sale has items left"
	}
	return "by " + e.String()
}

// checkTold checks the 200s of a sale by themselves, whatever the ledger says:
// I1 and I2.
func (c *checker) checkTold(b *ledger) {
	owner, buyers := map[sale.ItemID]*op{}, map[string][]*op{}
	count := 0
	for _, s := range c.stories {
		if s.ledger != b {
			continue
		}
		g := s.first(granted)
		if g == nil {
			continue
		}
		if count++; count == b.Stock+1 {
			c.findf(I1, []*op{g}, "more than %d codes were told to be granted in sale %d", b.Stock, b.Sale)
		}
		item := g.Item
		if g.answer.item != 0 {
			item = g.answer.item
		}
		if first := owner[item]; first != nil {
			c.findf(I1, []*op{first, g}, "two codes were told to own item %v", item)
		}
		owner[item] = g
		buyers[g.User] = append(buyers[g.User], g)
	}
	for _, user := range sorted(buyers) {
		if n := len(buyers[user]); n > b.UserLimit {
			c.findf(I2, buyers[user], "user %q was told of %d items, the limit is %d", user, n, b.UserLimit)
		}
	}
}
