package scheduler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// adopt gives rows to the sales of this installation that have a stream and no row,
// or a row that was never opened: the ledger was restored to before they opened, and
// codes were sold by what their opening records say. The rows are read after the
// streams, so that a sale which another scheduler opens meanwhile has its row.
// Streams that cannot be read, for example because they have no leader, are returned,
// to be tried again: those of the last time after all others. settled is the highest
// number of an opened sale. If a stream with a higher number cannot be read, adopt
// fails: its number and items would be used again.
func (s *Scheduler) adopt(ctx context.Context, installation sale.UUID, last []sale.ID) (unread []sale.ID, settled sale.ID, err error) {
	ids, err := s.ports.Store.Sales(ctx)
	if err != nil {
		return nil, 0, err
	}
	rows, err := s.allSales(ctx)
	if err != nil {
		return nil, 0, err
	}
	tried := func(id sale.ID) bool { return slices.Contains(last, id) }
	slices.SortFunc(ids, func(a, b sale.ID) int { return cmp.Compare(b, a) }) // the newest first
	ids = slices.Concat(slices.DeleteFunc(slices.Clone(ids), tried), slices.DeleteFunc(ids, func(id sale.ID) bool { return !tried(id) }))
	found, unread, errRead := s.openings(ctx, installation, ids, rows)
	settled = newestOpened(rows)
	for _, of := range found {
		taken, err := s.takeOver(ctx, of)
		if err != nil {
			return nil, 0, err
		}
		settled = max(settled, taken)
	}
	if len(unread) > 0 && slices.Max(unread) > settled {
		return nil, 0, errRead
	}
	return unread, settled, nil
}

// openings reads the opening records of sales that have no row like them, until too
// many could not be read; err is of the last of these. They are in order of their
// numbers: rows that were made since the restore are replaced in that order.
func (s *Scheduler) openings(ctx context.Context, installation sale.UUID, ids []sale.ID, rows map[sale.ID]ledger.SaleRow) (found []sale.Sale, unread []sale.ID, err error) {
	for _, id := range ids {
		row, known := rows[id]
		if known && row.State != sale.Preparing {
			continue
		}
		opening, errRead := s.ports.Store.Opening(ctx, id)
		switch {
		case errors.Is(errRead, stream.ErrLost): // nothing was ever sold with it
		case errors.Is(errRead, wire.ErrMessage), errors.Is(errRead, wire.ErrVersion):
			s.refuse(id, errRead, foreignCure)
		case errRead != nil:
			unread, err = append(unread, id), errRead
		case opening.Sale.Installation != installation, opening.Sale.ID != id:
			s.refuse(id, stream.ErrForeign, foreignCure)
		case row.Sale != opening.Sale:
			found = append(found, opening.Sale)
		}
		if len(unread) == mostUnread {
			break
		}
	}
	slices.SortFunc(found, func(a, b sale.Sale) int { return cmp.Compare(a.ID, b.ID) })
	return found, unread, err
}

// mostUnread is how many streams that cannot be read are tried at a time: each may
// take some seconds.
const mostUnread = 4

// newestOpened returns the highest number of a sale that was opened.
func newestOpened(rows map[sale.ID]ledger.SaleRow) (newest sale.ID) {
	for id, row := range rows {
		if row.State != sale.Preparing {
			newest = max(newest, id)
		}
	}
	return newest
}

// adoptUnread tries again, now and then, to adopt what could not be read, and tells
// people where that lasts.
func (s *Scheduler) adoptUnread(ctx context.Context) error {
	if len(s.unread) == 0 || s.host.Now().Before(s.adoptAt) {
		return nil
	}
	ctx, cancel := s.host.WithTimeout(ctx, repairTimeout)
	defer cancel()
	s.adoptAt = s.host.Now().Add(fullRepair)
	installation, err := s.ports.Ledger.Installation(ctx)
	if err != nil {
		return err
	}
	unread, _, err := s.adopt(ctx, installation, s.unread)
	if err != nil {
		return err
	}
	if len(unread) > 0 && !s.toldOf {
		s.alarms.raise("unread-stream", "sales", unread,
			"do", "the ledger lacks these sales, which have streams, and they are not opened again before those can be read: see that NATS has a leader for each")
	}
	s.unread, s.toldOf = unread, len(unread) > 0
	s.repaired = time.Time{} // what came back is opened
	return nil
}

// takeOver gives a sale its row and returns its number, or 0: the row is another's.
// It is opened from there as any other. From the first cursor on its decisions
// follow from its stream.
func (s *Scheduler) takeOver(ctx context.Context, of sale.Sale) (taken sale.ID, err error) {
	err = s.ports.Rows.Adopt(ctx, of)
	if errors.Is(err, ledger.ErrTaken) {
		s.refuse(of.ID, err, "keep the stream: what was sold with it is recorded only there; restore a newer backup of the database")
		return 0, nil
	}
	if err == nil {
		s.log.Warn("the ledger was restored to before this sale opened: it is opened again as its stream says", "sale", of.ID, "uuid", of.UUID)
	}
	return of.ID, err
}

// allSales reads the rows of all sales.
func (s *Scheduler) allSales(ctx context.Context) (map[sale.ID]ledger.SaleRow, error) {
	all := map[sale.ID]ledger.SaleRow{}
	for before := sale.ID(0); ; {
		rows, err := s.ports.Rows.Sales(ctx, before, pageSize)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			all[row.Sale.ID], before = row, row.Sale.ID
		}
		if len(rows) < pageSize {
			return all, nil
		}
	}
}
