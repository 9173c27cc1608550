package allocator

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/host"
	"notsale/pkg/sale"
)

// standby keeps engines of the open sales that other allocators decide, as long
// as shoppers ask, so that a takeover has to read only what was committed since
// the last look.
type standby struct {
	leases  Leases
	history History
	host    host.Host
	size    int                   // of a page
	page    []allocation.Decision // that was read last; its room is reused; owned by run
	rests   map[sale.ID]time.Time // sales that cannot be followed, and until when; owned by run
	log     *slog.Logger

	mu      sync.Mutex
	engines map[sale.ID]*allocation.Engine // guarded by mu
	mine    map[sale.ID]int                // terms of this process, by sale; guarded by mu
}

const (
	// followEvery is the time between two looks at the other allocators' sales.
	followEvery = 500 * time.Millisecond
	// idleAfter is when a sale of which nobody wants anything is let go, as by a
	// term: a thousand unsold ones would fill the memory. Whoever takes it reads it
	// when somebody asks.
	idleAfter = 15 * time.Minute
	// misfitRest is how long a sale that cannot be followed is left alone: reading
	// it takes seconds, and it needs a person, or a newer program.
	misfitRest = 5 * time.Minute
)

func newStandby(l Leases, h History, on host.Host, page int, log *slog.Logger) *standby {
	return &standby{
		leases: l, history: h, host: on, size: page, log: log, rests: map[sale.ID]time.Time{},
		engines: map[sale.ID]*allocation.Engine{}, mine: map[sale.ID]int{},
	}
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
		s.host.Wait(ctx, followEvery)
	}
}

// follow brings the engines up to date, once. A sale that cannot be read keeps it
// from no other; the error is the first such.
func (s *standby) follow(ctx context.Context) (failed error) {
	look, cancel := s.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	positions, err := s.leases.OpenPositions(look, idleAfter)
	if err != nil {
		return err
	}
	for _, id := range s.behind(positions) {
		err := s.catchUp(ctx, id)
		switch {
		case errors.Is(err, allocation.ErrRules), errors.Is(err, allocation.ErrHistory): // whoever takes it raises the alarm
			s.rests[id] = s.host.Now().Add(misfitRest)
		case failed == nil:
			failed = err
		}
	}
	return failed
}

// behind drops the engines of sales that are sold out or idle, which are loaded
// again when somebody asks, and returns the sales whose engines are not up to
// date, the newest first: it is the one that sells.
func (s *standby) behind(positions map[sale.ID]int64) []sale.ID {
	now := s.host.Now()
	maps.DeleteFunc(s.rests, func(id sale.ID, until time.Time) bool { return positions[id] == 0 || !now.Before(until) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.engines {
		if _, open := positions[id]; !open {
			delete(s.engines, id)
		}
	}
	var ids []sale.ID
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(positions))) {
		if _, rests := s.rests[id]; rests || s.mine[id] > 0 || positions[id] == 0 {
			continue
		}
		if e := s.engines[id]; e == nil || e.Cursor().Position != positions[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// catchUp brings the engine of a sale to the ledger's cursor, page by page. What
// it has read stays, whatever happens to the next page.
func (s *standby) catchUp(ctx context.Context, id sale.ID) error {
	to, e, after, err := s.find(ctx, id)
	for err == nil && after >= 0 {
		if err = s.read(ctx, id, after, to); err == nil {
			after, err = s.keep(e, to)
		}
	}
	return err
}

// read reads the next decisions on the way from a position to a cursor.
func (s *standby) read(ctx context.Context, id sale.ID, after int64, to allocation.Cursor) error {
	ctx, cancel := s.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	page, err := s.history.DecisionPage(ctx, id, after, to.Position, s.size, s.page)
	if err == nil {
		s.page = page
	}
	return err
}

// find returns the sale's cursor, and the engine that follows it with its
// position: a new one where there is none, or where the ledger does not know what
// it comes from.
func (s *standby) find(ctx context.Context, id sale.ID) (to allocation.Cursor, e *allocation.Engine, after int64, err error) {
	ctx, cancel := s.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	pos, err := s.history.Cursor(ctx, id)
	if err != nil {
		return to, nil, 0, err
	}
	if e, at := s.standing(id); e != nil {
		if leads, err := leads(ctx, s.history, id, at, pos.Cursor); leads || err != nil {
			return pos.Cursor, e, at.Position, err
		}
		s.log.Info(lostHistory, "sale", id, "position", at.Position)
	}
	row, err := s.history.Sale(ctx, id)
	if err == nil {
		e, err = blank(row.Sale, pos.Cursor)
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

// keep extends an engine by the page that was read, and returns the position after which the
// next is to be read; below 0: none is. The lock is not held while the ledger is
// read: a term that takes over meanwhile has got the engine as it was.
func (s *standby) keep(e *allocation.Engine, to allocation.Cursor) (after int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := e.Sale().ID
	if s.engines[id] != e { // it was handed over
		return -1, nil
	}
	if err := onward(e, s.page, len(s.page) < s.size, to); err != nil {
		delete(s.engines, id)
		return -1, err
	}
	if e.Cursor() == to {
		return -1, nil
	}
	return e.Cursor().Position, nil
}

// standing returns the engine of a sale, or nil, and where it stands.
func (s *standby) standing(id sale.ID) (e *allocation.Engine, at allocation.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e = s.engines[id]; e != nil {
		at = e.Cursor()
	}
	return e, at
}
