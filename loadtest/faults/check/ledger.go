package check

import (
	"cmp"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// checkLedger checks what the ledger says of itself: I1 and I2.
func (c *checker) checkLedger(b *ledger) {
	if n := len(b.sold); n > b.Stock {
		last := b.sold[n-1]
		c.findf(I1, last.story.evidence(), "sale %d sold %d of %d items, the last by %v", b.Sale, n, b.Stock, last.Decision)
	} else if n < b.Stock && c.options.SoldOut {
		c.findf(I1, nil, "sale %d sold %d of %d items, though enough was asked for", b.Sale, n, b.Stock)
	}
	for _, user := range sorted(b.grants) {
		if g := b.grants[user]; len(g) > b.UserLimit {
			c.findf(I2, all(g), "user %q was granted %d items, the limit is %d: the last by %v", user, len(g), b.UserLimit, g[len(g)-1].Decision)
		}
	}
	rows := make(map[sale.ItemID]bool, len(b.Sold))
	for i := range b.Sold {
		row := &b.Sold[i]
		e := b.owner[row.Item]
		switch {
		case rows[row.Item]:
			c.findf(I1, c.byCode[row.Code].evidence(), "items has two rows of item %v", row.Item)
		case e == nil:
			c.findf(I1, c.byCode[row.Code].evidence(), "items says that item %v belongs to code %s, but no decision granted it", row.Item, row.Code)
		case e.Code != row.Code || e.User != row.User || e.Position != row.Position:
			c.findf(I1, slices.Concat(e.story.evidence(), c.byCode[row.Code].evidence()),
				"items says that item %v belongs to code %s of user %q at position %d, but it was granted by %v", row.Item, row.Code, row.User, row.Position, e.Decision)
		}
		rows[row.Item] = true
	}
	for _, e := range b.sold {
		if !rows[e.Item] {
			c.findf(I1, e.story.evidence(), "items has no row of item %v, granted by %v", e.Item, e.Decision)
		}
	}
}

// replay decides the sale again, by position, as the rules say, and goes on
// from what is recorded.
func (c *checker) replay(b *ledger) {
	r := replayer{ledger: b, owned: map[sale.ItemID]bool{}, grants: map[string]int{}}
	for i := range b.entries {
		e := &b.entries[i]
		if why := r.disorder(e); why != "" {
			c.findf(Rules, e.story.evidence(), "%v %s", e.Decision, why)
		}
		if e.Code != "" {
			c.checkAsked(b, e)
		}
		if want, ok := r.judge(e); !ok {
			c.findf(Rules, e.story.evidence(), "%v should be %v: %d of %d items sold, user has %d of %d, item taken: %t",
				e.Decision, want, r.sold, b.Stock, r.grants[e.User], b.UserLimit, r.owned[e.Item])
		}
		if e.Reason == allocation.Granted {
			r.sold++
			r.grants[e.User]++
			r.owned[e.Item] = true
		}
	}
}

// checkAsked: somebody asked for what was decided.
func (c *checker) checkAsked(b *ledger, e *entry) {
	switch asked := e.story.claims(); {
	case asked == nil || e.story.sent == nil:
		c.findf(Rules, e.story.evidence(), "%v, but no client sent a request for it to the stream", e.Decision)
	case asked.Item != e.Item || asked.User != e.User || asked.ledger != b:
		c.findf(Rules, []*op{asked}, "%v, but the code is for item %v, user %q of another sale or claim", e.Decision, asked.Item, asked.User)
	}
}

// replayer is the naive engine.
type replayer struct {
	ledger   *ledger
	position int64
	now      sale.Instant
	sold     int
	owned    map[sale.ItemID]bool
	grants   map[string]int
}

// disorder says what is wrong with a decision's place and time.
func (r *replayer) disorder(e *entry) string {
	last, before := r.position, r.now
	r.position, r.now = e.Position, e.At
	switch {
	case e.Position < 1 || e.Position == last:
		return "has no position of its own"
	case e.At < before && r.ledger.Rules == 1:
		return "is decided before the one ahead of it, at " + before.String()
	}
	return ""
}

// judge returns what the rules give, and whether the record is that.
func (r *replayer) judge(e *entry) (want allocation.Reason, ok bool) {
	asked := e.story.claims()
	switch {
	case e.Code == "" || !r.ledger.contains(e.Item):
		want = allocation.Malformed
	case asked != nil && asked.Expires != 0 && e.At > asked.Expires:
		want = allocation.CodeExpired
	case e.Reason == allocation.CodeExpired && (asked == nil || asked.Expires == 0):
		return e.Reason, true // nobody can tell
	case r.sold >= r.ledger.Stock:
		want = allocation.SoldOut
	case r.grants[e.User] >= r.ledger.UserLimit:
		want = allocation.LimitReached
	case r.owned[e.Item]:
		want = allocation.ItemTaken
	}
	return want, e.Reason == want
}

// sorted returns the keys of a map in order, so that a report is the same for
// the same history.
func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// all is the evidence of some grants.
func all(grants []*entry) []*op {
	var ops []*op
	for _, e := range grants {
		ops = append(ops, e.story.evidence()...)
	}
	return ops
}
