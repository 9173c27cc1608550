package allocator

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// standby keeps engines of the sales that other allocators decide, so that a
// takeover has to read only what was committed since the last look.
type standby struct {
	ledger  *ledger.Ledger
	engines map[sale.ID]*allocation.Engine
	looked  time.Time
}

// followEvery is the time between two looks at the other allocators' sales.
const followEvery = 500 * time.Millisecond

// followBudget bounds one look, so that leases are renewed in between.
const followBudget = 200 * time.Millisecond

func newStandby(l *ledger.Ledger) *standby {
	return &standby{ledger: l, engines: map[sale.ID]*allocation.Engine{}}
}

// hand gives the engine of a sale away, to the term that now decides it.
func (s *standby) hand(id sale.ID) *allocation.Engine {
	e := s.engines[id]
	delete(s.engines, id)
	return e
}

// follow brings the engines of open sales that others decide up to date.
func (s *standby) follow(ctx context.Context, mine func(sale.ID) bool) error {
	if time.Since(s.looked) < followEvery {
		return nil
	}
	s.looked = time.Now()
	positions, err := s.ledger.OpenPositions(ctx)
	if err != nil {
		return err
	}
	for id := range s.engines {
		if _, open := positions[id]; !open {
			delete(s.engines, id) // sold out: its engine is loaded when somebody asks
		}
	}
	for id, position := range positions {
		if mine(id) || position == 0 {
			continue
		}
		if e := s.engines[id]; e != nil && e.Cursor().Position == position {
			continue
		}
		if time.Since(s.looked) > followBudget {
			return nil // the rest next time
		}
		if err := s.catchUp(ctx, id); err != nil {
			delete(s.engines, id)
			return err
		}
	}
	return nil
}

func (s *standby) catchUp(ctx context.Context, id sale.ID) error {
	pos, err := s.ledger.Cursor(ctx, id)
	if err != nil {
		return err
	}
	e := s.engines[id]
	if e == nil || e.Cursor().Position > pos.Cursor.Position {
		row, err := s.ledger.Sale(ctx, id)
		if err != nil {
			return err
		}
		e, err = allocation.Restore(row.Sale, pos.Cursor, s.ledger.Decisions(ctx, id, 0, pos.Cursor.Position), int(min(pos.Cursor.Position, maxExpected)))
		if err != nil {
			return err
		}
		s.engines[id] = e
		return nil
	}
	return e.Extend(pos.Cursor, s.ledger.Decisions(ctx, id, e.Cursor().Position, pos.Cursor.Position))
}
