package report

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// contest is the race for one item. Times are the engine's.
type contest struct {
	asked    uint32 // codes that were decided, the owner's too
	behind   uint32 // positions from the owner to the second one; 0: nobody came after
	position int64  // the owner's; 0: not sold
	at       sale.Instant
	secondAt sale.Instant
	owner    sale.UserID
}

// decide adds a decision on the item. A retry is none: it asks with the code
// that was decided.
func (c *contest) decide(d *allocation.Decision) {
	c.asked++
	switch {
	case d.Reason == allocation.Granted && c.position == 0:
		c.position, c.at, c.owner = d.Position, d.At, sale.UserID(strings.Clone(string(d.User)))
	case c.position > 0 && c.behind == 0 && d.Position > c.position && d.User != c.owner:
		c.behind, c.secondAt = uint32(min(d.Position-c.position, maxBehind)), d.At
	}
}

const maxBehind = 1<<32 - 1

// wanted names an item and the race for it.
type wanted struct {
	item sale.ItemID
	contest
}

// compareWanted puts the item first for which more codes asked; of equals the
// one whose second user was closer, then the one with the lower number.
func compareWanted(x, y wanted) int {
	return cmp.Or(cmp.Compare(y.asked, x.asked), cmp.Compare(x.gap(), y.gap()), cmp.Compare(x.behind, y.behind), cmp.Compare(x.item, y.item))
}

// gap is the time from the owner to the second one.
func (c *contest) gap() sale.Instant {
	if c.behind == 0 {
		return math.MaxInt64
	}
	return c.secondAt - c.at
}

// mostWanted returns the items for which most codes asked, at most n, and at
// least two for each.
func (c *record) mostWanted(n int) []wanted {
	var list []wanted
	for i := range c.race {
		if c.race[i].asked >= 2 {
			list = append(list, wanted{item: c.sale.FirstItem + sale.ItemID(i), contest: c.race[i]})
		}
	}
	slices.SortFunc(list, compareWanted)
	return list[:min(len(list), n)]
}
