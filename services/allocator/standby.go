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

// hand gives the engine of a sale away, to the term that now decides it. It
// waits while the engine is brought up to date.
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
	for ctx.Err() == nil {
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("other allocators' sales are not followed", "error", err)
		}
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
	if s.extend(ctx, id, pos.Cursor) {
		return nil
	}
	row, err := s.ledger.Sale(ctx, id)
	if err != nil {
		return err
	}
	e, err := restoreEngine(ctx, s.ledger, row.Sale, pos.Cursor)
	if errors.Is(err, allocation.ErrRules) {
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

// extend brings an engine that exists up to the cursor. The lock is held
// meanwhile: it is little that was committed since the last look, and a term
// that takes over now waits for less than it would have to read.
func (s *standby) extend(ctx context.Context, id sale.ID, to allocation.Cursor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.engines[id]
	if s.mine[id] > 0 {
		return true
	}
	if e == nil {
		return false
	}
	if err := e.Extend(to, s.ledger.Decisions(ctx, id, e.Cursor().Position, to.Position)); err != nil {
		delete(s.engines, id)
		return false
	}
	return true
}
