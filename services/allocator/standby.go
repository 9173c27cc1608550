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
	"notsale/services/allocator/term"
)

// standby keeps engines of the open sales that other allocators decide, so
// that a takeover has to read only what was committed since the last look.
type standby struct {
	ledger *ledger.Ledger
	pages  pages // owned by run
	log    *slog.Logger

	mu      sync.Mutex
	engines map[sale.ID]*allocation.Engine // guarded by mu
	mine    map[sale.ID]int                // terms of this process, by sale; guarded by mu
}

// followEvery is the time between two looks at the other allocators' sales.
const followEvery = 500 * time.Millisecond

func newStandby(l *ledger.Ledger, page int, log *slog.Logger) *standby {
	return &standby{ledger: l, pages: pages{ledger: l, size: page}, log: log, engines: map[sale.ID]*allocation.Engine{}, mine: map[sale.ID]int{}}
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
	look, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	positions, err := s.ledger.OpenPositions(look)
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

// catchUp brings the engine of a sale to the ledger's cursor, page by page. What
// it has read stays, whatever happens to the next page.
func (s *standby) catchUp(ctx context.Context, id sale.ID) error {
	to, e, after, err := s.find(ctx, id)
	if errors.Is(err, allocation.ErrRules) {
		return nil // whoever takes it raises the alarm; the other sales are followed
	}
	if err != nil {
		return err
	}
	for {
		page, err := s.pages.read(ctx, id, after, to)
		if err != nil {
			return err
		}
		if after = s.keep(e, page, to); after < 0 {
			return nil
		}
	}
}

// find returns the sale's cursor, and the engine that follows it with its
// position: a new one where there is none.
func (s *standby) find(ctx context.Context, id sale.ID) (to allocation.Cursor, e *allocation.Engine, after int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	pos, err := s.ledger.Cursor(ctx, id)
	if err != nil {
		return to, nil, 0, err
	}
	if e, after = s.standing(id); e != nil {
		return pos.Cursor, e, after, nil
	}
	row, err := s.ledger.Sale(ctx, id)
	if err == nil {
		e, err = term.Blank(row.Sale, pos.Cursor)
	}
	if err != nil {
		return to, nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mine[id] == 0 {
		s.engines[id] = e
	}
	return pos.Cursor, e, 0, nil
}

// keep extends an engine by a page, and returns the position after which the
// next is to be read; below 0: none is. The lock is not held while the ledger is
// read: a term that takes over meanwhile has got the engine as it was.
func (s *standby) keep(e *allocation.Engine, page []allocation.Decision, to allocation.Cursor) (after int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := e.Sale().ID
	if s.engines[id] != e { // it was handed over
		return -1
	}
	if err := s.pages.extend(e, page, to); err != nil {
		delete(s.engines, id) // anew at the next look; whoever takes the sale raises the alarm
		return -1
	}
	if e.Cursor() == to {
		return -1
	}
	return e.Cursor().Position
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
