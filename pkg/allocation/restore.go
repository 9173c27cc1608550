package allocation

import (
	"errors"
	"fmt"
	"iter"

	"notsale/pkg/sale"
)

// ErrHistory is wrapped by the error of a state to which no sequence of requests
// leads: the ledger was changed by somebody else.
var ErrHistory = errors.New("allocation: not a state that any history gives")

// Restore returns the engine of a sale as it was at the cursor, from the
// decisions committed so far in any order. expect is how many there are about;
// it only sizes memory. ErrRules: the sale's rules are not known, and nothing
// was read. ErrHistory: the decisions cannot have led to the cursor.
func Restore(s sale.Sale, c Cursor, decisions iter.Seq2[Decision, error], expect int) (*Engine, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	rules, err := rulesOf(&s)
	if err != nil {
		return nil, err
	}
	e := newEngine(s, rules, Cursor{}, expect)
	if err := e.Extend(c, decisions); err != nil {
		return nil, err
	}
	return e, nil
}

// Extend brings an engine that was restored or applied so far to a later
// cursor, from the decisions committed in between. After an error the engine
// is of no use.
func (e *Engine) Extend(c Cursor, decisions iter.Seq2[Decision, error]) error {
	if c.Position < e.cursor.Position || c.Generation < e.cursor.Generation {
		return fmt.Errorf("%w: sale %d: the ledger is at position %d, before %d", ErrHistory, e.sale.ID, c.Position, e.cursor.Position)
	}
	before, sold := e.cursor.Position, e.cursor.Sold
	e.cursor = c
	e.cursor.Sold = sold
	for d, err := range decisions {
		if err != nil {
			return err
		}
		if err := e.restore(&d, before); err != nil {
			return fmt.Errorf("%w: sale %d at position %d: %w", ErrHistory, e.sale.ID, d.Position, err)
		}
	}
	if e.cursor.Sold != c.Sold {
		return fmt.Errorf("%w: sale %d: cursor counts %d items sold, decisions %d", ErrHistory, e.sale.ID, c.Sold, e.cursor.Sold)
	}
	return nil
}

func (e *Engine) restore(d *Decision, after int64) error {
	if d.Position <= after || d.Position > e.cursor.Position {
		return fmt.Errorf("position is not in %d..%d", after+1, e.cursor.Position)
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
