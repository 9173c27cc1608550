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
	leases Leases
	pages  pages                 // owned by run
	rests  map[sale.ID]time.Time // sales that cannot be followed, and until when; owned by run
	log    *slog.Logger

	mu      sync.Mutex
	engines map[sale.ID]*allocation.Engine // guarded by mu
	mine    map[sale.ID]int                // terms of this process, by sale; guarded by mu
}

const (
	// followEvery is the time between two looks at the other allocators' sales.
	followEvery = 500 * time.Millisecond
	// idleAfter is when the engine of a sale that nobody asks about is dropped, as
	// by a term: those of a thousand unsold sales would fill the memory. A takeover
	// reads it when somebody asks.
	idleAfter = 15 * time.Minute
	// misfitRest is how long a sale that cannot be followed is left alone: reading
	// it takes seconds, and it needs a person or a newer program.
	misfitRest = 5 * time.Minute
)

func newStandby(l Leases, h History, on host.Host, page int, log *slog.Logger) *standby {
	return &standby{
		leases: l, pages: pages{history: h, host: on, size: page}, log: log, rests: map[sale.ID]time.Time{},
		engines: map[sale.ID]*allocation.Engine{}, mine: map[sale.ID]int{},
	}
}

// run follows until ctx ends.
func (s *standby) run(ctx context.Context) {
	var warned warnOnce
	for ctx.Err() == nil {
		warned.about(s.log, "other allocators' sales are not followed, taking one over would take longer", s.follow(ctx))
		s.pages.host.Wait(ctx, followEvery)
	}
}

// follow brings all engines up to date, once. A sale that cannot be read does not
// keep it from the others; it returns the first error.
func (s *standby) follow(ctx context.Context) (failed error) {
	look, cancel := s.pages.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	positions, err := s.leases.OpenPositions(look, idleAfter)
	if err != nil {
		return err
	}
	for _, id := range s.behind(positions) {
		err := s.catchUp(ctx, id)
		switch {
		case errors.Is(err, allocation.ErrRules), errors.Is(err, allocation.ErrHistory): // a takeover raises the alarm
			s.rests[id] = s.pages.host.Now().Add(misfitRest)
		case failed == nil:
			failed = err
		}
	}
	return failed
}

// behind drops the engines of sales that are sold out or idle, and returns the
// sales whose engines are not up to date, newest first, because that is the one
// that sells.
func (s *standby) behind(positions map[sale.ID]int64) []sale.ID {
	now := s.pages.host.Now()
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
// it has read before an error stays.
func (s *standby) catchUp(ctx context.Context, id sale.ID) error {
	e, after, to, err := s.find(ctx, id)
	for more := true; more && err == nil; {
		if err = s.pages.read(ctx, id, after, to); err == nil {
			after, more, err = s.extend(e, to)
		}
	}
	return err
}

// find returns the engine of a sale with its position, and the ledger's cursor of
// the sale. The engine is a new one if there is none, or if the ledger does not
// know the commit that it ends with.
func (s *standby) find(ctx context.Context, id sale.ID) (e *allocation.Engine, after int64, to allocation.Cursor, err error) {
	ctx, cancel := s.pages.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	pos, err := s.pages.history.Cursor(ctx, id)
	if err != nil {
		return nil, 0, to, err
	}
	if e, at := s.engine(id); e != nil {
		if leads, err := s.pages.leads(ctx, id, at, pos.Cursor); leads || err != nil {
			return e, at.Position, pos.Cursor, err
		}
		s.log.Info(lostHistory, "sale", id, "position", at.Position)
	}
	row, err := s.pages.history.Sale(ctx, id)
	if err == nil {
		e, err = blank(row.Sale, pos.Cursor)
	}
	if err != nil {
		return nil, 0, to, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mine[id] == 0 {
		s.engines[id] = e
	}
	return e, 0, pos.Cursor, nil
}

// engine returns the engine of a sale, or nil, and its cursor.
func (s *standby) engine(id sale.ID) (e *allocation.Engine, at allocation.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e = s.engines[id]; e != nil {
		at = e.Cursor()
	}
	return e, at
}

// extend extends an engine by the page that was read, unless a term has got it
// meanwhile. It returns the position after which the next page is to be read, and
// whether there is more. The lock is held only here, not while the ledger is read:
// a takeover does not wait for that.
func (s *standby) extend(e *allocation.Engine, to allocation.Cursor) (after int64, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := e.Sale().ID
	if s.engines[id] != e {
		return 0, false, nil
	}
	if err := s.pages.extend(e, to); err != nil {
		delete(s.engines, id)
		return 0, false, err
	}
	return e.Cursor().Position, e.Cursor() != to, nil
}

// hand gives the engine of a sale, or nil, to the term that decides the sale now.
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
