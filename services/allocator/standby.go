package allocator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// standby keeps engines of the open sales that other allocators decide, so
// that a takeover has to read only what was committed since the last look.
type standby struct {
	ledger *ledger.Ledger
	log    *slog.Logger

	mu      sync.Mutex
	engines map[sale.ID]*allocation.Engine // guarded by mu
	mine    map[sale.ID]int                // terms of this process, by sale; guarded by mu
}

// followEvery is the time between two looks at the other allocators' sales.
const followEvery = 500 * time.Millisecond

func newStandby(l *ledger.Ledger, log *slog.Logger) *standby {
	return &standby{ledger: l, log: log, engines: map[sale.ID]*allocation.Engine{}, mine: map[sale.ID]int{}}
}

// hand gives the engine of a sale away, to the term that now decides it.
func (s *standby) hand(id sale.ID) *allocation.Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mine[id]++
	e := s.engines[id]
	delete(s.engines, id)
	return e
}

// release says that the term has ended.
func (s *standby) release(id sale.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mine[id]--; s.mine[id] <= 0 {
		delete(s.mine, id)
	}
}

// run follows until ctx ends.
func (s *standby) run(ctx context.Context) {
	var warned warnOnce
	for ctx.Err() == nil {
		warned.about(s.log, "other allocators' sales are not followed, taking one over would take longer", s.follow(ctx))
		sleep(ctx, followEvery)
	}
}

// follow brings the engines up to date, once.
func (s *standby) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	positions, err := s.ledger.OpenPositions(ctx)
	if err != nil {
		return err
	}
	for _, id := range s.behind(positions) {
		if err := s.catchUp(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// behind drops the engines of sales that are sold out, which are loaded again
// when somebody asks, and returns the sales whose engines are not up to date.
func (s *standby) behind(positions map[sale.ID]int64) []sale.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.engines {
		if _, open := positions[id]; !open {
			delete(s.engines, id)
		}
	}
	var ids []sale.ID
	for id, position := range positions {
		if s.mine[id] > 0 || position == 0 {
			continue
		}
		if e := s.engines[id]; e == nil || e.Cursor().Position != position {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *standby) catchUp(ctx context.Context, id sale.ID) error {
	pos, err := s.ledger.Cursor(ctx, id)
	if err != nil {
		return err
	}
	if done, err := s.extend(ctx, id, pos.Cursor); done || err != nil {
		return err
	}
	row, err := s.ledger.Sale(ctx, id)
	if err != nil {
		return err
	}
	e, err := restoreEngine(ctx, s.ledger, row.Sale, pos.Cursor)
	if errors.Is(err, allocation.ErrRules) || errors.Is(err, allocation.ErrHistory) {
		return nil // whoever takes it raises the alarm; the other sales are followed
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mine[id] == 0 {
		s.engines[id] = e
	}
	return nil
}

// extend brings an engine that exists up to the cursor, and reports whether
// nothing more is to be done. The lock is not held while the ledger is read: a
// term that takes over meanwhile gets the engine as it is.
func (s *standby) extend(ctx context.Context, id sale.ID, to allocation.Cursor) (done bool, err error) {
	e, after := s.standing(id)
	if e == nil {
		return false, nil
	}
	var decisions []allocation.Decision // of the time since the last look
	for d, err := range s.ledger.Decisions(ctx, id, after, to.Position) {
		if err != nil {
			return false, err
		}
		decisions = append(decisions, d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engines[id] != e { // it was handed over
		return true, nil
	}
	err = e.Extend(to, func(yield func(allocation.Decision, error) bool) {
		for _, d := range decisions {
			if !yield(d, nil) {
				return
			}
		}
	})
	if err != nil {
		delete(s.engines, id)
	}
	return err == nil, nil
}

// standing returns the engine of a sale, or nil, and where it stands.
func (s *standby) standing(id sale.ID) (e *allocation.Engine, position int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e = s.engines[id]; e != nil {
		position = e.Cursor().Position
	}
	return e, position
}
