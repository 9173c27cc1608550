package allocation

import (
	"fmt"
	"iter"

	"notsale/pkg/sale"
)

// Restore returns the engine of a sale as it was at the cursor, from the
// decisions committed so far in any order. expect is how many there are about;
// it only sizes memory. It returns an error when the decisions cannot have led
// to the cursor: the ledger was changed by another hand.
func Restore(s sale.Sale, c Cursor, decisions iter.Seq2[Decision, error], expect int) (*Engine, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	e := newEngine(s, c, expect)
	e.cursor.Sold = 0
	for d, err := range decisions {
		if err != nil {
			return nil, err
		}
		if err := e.restore(&d); err != nil {
			return nil, fmt.Errorf("allocation: decision at position %d of sale %d: %w", d.Position, s.ID, err)
		}
	}
	if e.cursor.Sold != c.Sold {
		return nil, fmt.Errorf("allocation: sale %d: cursor counts %d items sold, decisions %d", s.ID, c.Sold, e.cursor.Sold)
	}
	return e, nil
}

func (e *Engine) restore(d *Decision) error {
	if d.Position < 1 || d.Position > e.cursor.Position {
		return fmt.Errorf("position is not in 1..%d", e.cursor.Position)
	}
	if !d.Reason.Valid() {
		return fmt.Errorf("unknown %v", d.Reason)
	}
	if d.Code.IsZero() {
		return nil
	}
	if _, twice := e.decided[d.Code]; twice {
		return fmt.Errorf("code %v was decided before", d.Code)
	}
	e.decided[d.Code] = record{position: d.Position, at: d.At, reason: d.Reason}
	if d.Reason != Granted {
		return nil
	}
	if _, taken := e.owners[d.Item]; taken || !e.sale.Contains(d.Item) {
		return fmt.Errorf("item %v cannot be granted", d.Item)
	}
	if len(e.grants[d.User]) >= e.sale.UserLimit {
		return fmt.Errorf("grant beyond the limit of %d", e.sale.UserLimit)
	}
	e.own(d)
	return nil
}
