package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// tend adopts what could not be read before, repairs the sales that are there, then
// keeps the streams of no sale, each in its own time. Before it is known that the
// store is ours nothing is written.
func (s *Scheduler) tend(ctx context.Context) error {
	seen := s.seen.Load()
	if seen == nil {
		return nil
	}
	if s.listedIn != seen.opened {
		s.listedIn, s.listed, s.repaired, s.failures = seen.opened, nil, time.Time{}, 0
		s.unread, s.adoptAt = seen.unread, s.host.Now().Add(fullRepair)
	}
	err := errors.Join(s.adoptUnread(ctx), s.repair(ctx, seen))
	s.tendUnsold(ctx)
	return err
}

// repair looks at the recent sales, and now and then at all: those whose opening
// was not finished, and those that the directory does not show as they are.
func (s *Scheduler) repair(ctx context.Context, seen *view) error {
	ctx, cancel := s.host.WithTimeout(ctx, repairTimeout)
	defer cancel()
	all, limit := s.host.Now().Sub(s.repaired) >= s.fullPause(), recentSales
	if all {
		limit = pageSize
		if err := s.relist(ctx, seen.directory); err != nil {
			return err
		}
	}
	var errs []error
	for before := sale.ID(0); ctx.Err() == nil; {
		rows, err := s.ports.Rows.Sales(ctx, before, limit)
		if err != nil {
			errs = append(errs, err)
			break
		}
		errs = append(errs, s.repairPage(ctx, seen, rows, before == 0)...)
		if !all || len(rows) < limit {
			break
		}
		before = rows[len(rows)-1].Sale.ID
	}
	err := errors.Join(ctx.Err(), summary(errs))
	switch {
	case ctx.Err() != nil:
		s.repaired = time.Time{}
	case err != nil && (all || s.failures == 0):
		s.failures, s.repaired = s.failures+1, s.host.Now()
	case err == nil && all:
		s.failures, s.repaired = 0, s.host.Now()
	}
	return err
}

// fullPause is the pause before the next look at all sales: none after the first
// failure, then longer each time, so that one sale that keeps failing does not cause a
// thousand to be read each second.
func (s *Scheduler) fullPause() time.Duration {
	if s.failures == 0 || s.failures > 5 {
		return fullRepair
	}
	return min(retryPause<<s.failures-2*retryPause, fullRepair)
}

// summary is one error for those of many sales.
func summary(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	return fmt.Errorf("%w; and %d more sales", errs[0], len(errs)-1)
}

// relist reads what the directory has, where that is not known or it has lost
// entries.
func (s *Scheduler) relist(ctx context.Context, directory Listing) error {
	if s.listed != nil {
		n, err := directory.Count(ctx)
		if err != nil || n >= len(s.listed) {
			return err
		}
		s.log.Warn("the directory of sales has lost entries, writing them again", "listed", len(s.listed), "left", n)
	}
	listed, err := directory.Entries(ctx)
	if err == nil {
		s.listed = listed
	}
	return err
}

// repairPage finishes some sales, newest first, and lists those of which the
// directory shows less. Of all sales the newest is left to openSlot.
func (s *Scheduler) repairPage(ctx context.Context, seen *view, rows []ledger.SaleRow, newest bool) (errs []error) {
	var entries []wire.Entry
	for i, row := range rows {
		if ctx.Err() != nil {
			break
		}
		if !seen.skewed && row.Sale.OpensAt.Sub(seen.clock) > max(s.cfg.Every, ledger.MaxClockSkew) {
			s.tell(row.Sale.ID, "dated-ahead", "opens_at", row.Sale.OpensAt,
				"do", "a clock was wrong when it was opened: it sells as any other, and only the slot of its date will open none; see README, A clock that was wrong")
		}
		if row.State == sale.Preparing {
			if opened, err := s.finish(ctx, seen, row.Sale, newest && i == 0); err != nil || !opened {
				if err != nil {
					errs = append(errs, err)
				}
				continue
			}
			row.State = sale.Open
		}
		had, found := s.listed[row.Sale.ID]
		if !found || had.Sale != row.Sale || row.State.After(had.State) {
			entries = append(entries, wire.Entry{Sale: row.Sale, State: row.State})
		}
	}
	return append(errs, s.listAll(ctx, seen.directory, entries)...)
}

// finish opens a sale whose opening was interrupted, if that can be.
func (s *Scheduler) finish(ctx context.Context, seen *view, of sale.Sale, newest bool) (opened bool, err error) {
	if !allocation.KnownRules(of.Rules) {
		s.tell(of.ID, "newer-version", "rules", of.Rules,
			"do", "a newer scheduler made its row and opens it: upgrade this one and every allocator")
		return false, nil
	}
	if seen.skewed || newest {
		return false, nil
	}
	return s.open(ctx, of)
}

// listAll writes entries into the directory, some at once.
func (s *Scheduler) listAll(ctx context.Context, directory Listing, entries []wire.Entry) (errs []error) {
	type written struct {
		entry wire.Entry
		err   error
	}
	for some := range slices.Chunk(entries, putsAtOnce) {
		done := s.host.Inbox()
		for _, e := range some {
			s.host.Go(func() { done.Put(written{e, directory.Put(ctx, e)}) })
		}
		for range some {
			x, ok := done.Take(ctx, host.Forever)
			if !ok {
				return errs
			}
			w, _ := x.(written)
			if w.err != nil {
				errs = append(errs, w.err)
				continue
			}
			s.listed[w.entry.Sale.ID] = w.entry
		}
	}
	return errs
}
