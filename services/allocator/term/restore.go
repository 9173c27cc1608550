package term

import (
	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// maxExpected bounds the memory that a restore asks for ahead of reading.
const maxExpected = 1 << 20

// Blank returns an engine of the sale that knows no decision yet, on its way to
// a cursor. allocation.ErrRules: the sale's rules are not known.
func Blank(of sale.Sale, to allocation.Cursor) (*allocation.Engine, error) {
	return allocation.Restore(of, allocation.Cursor{}, each(nil), int(min(to.Position, maxExpected)))
}

// Onward brings an engine on by a page, the next of the ledger's decisions on its
// way to a cursor: to that where it is the last, else to where the page ends,
// which is no cursor of the sale's, but names the one that it was to lead to. After
// an error the engine is of no use.
func Onward(e *allocation.Engine, page []allocation.Decision, last bool, to allocation.Cursor) error {
	if !last {
		sold := e.Cursor().Sold
		for i := range page {
			if d := &page[i]; d.Reason == allocation.Granted && !d.Code.IsZero() {
				sold++
			}
		}
		to = allocation.Cursor{Generation: to.Generation, Sequence: to.Sequence, Chain: to.Chain, Position: page[len(page)-1].Position, Sold: sold}
	}
	return e.Extend(to, each(page))
}

func each(page []allocation.Decision) func(yield func(allocation.Decision, error) bool) {
	return func(yield func(allocation.Decision, error) bool) {
		for i := range page {
			if !yield(page[i], nil) {
				return
			}
		}
	}
}
