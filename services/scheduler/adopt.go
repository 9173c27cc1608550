package scheduler

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// known is what is known of the sales that are to be there.
type known struct {
	newest  sale.ID          // the highest number that a sale is known to have
	refused map[sale.ID]bool // streams that are another sale's, of which people were told
	lacking bool             // the ledger may lack a sale that was opened
}

// adopt takes over the sales of this installation that have a stream and no row,
// or one that was never opened: the ledger was restored to before they opened, and
// codes were sold with what their opening records say. The rows are read after the
// streams, so that a sale which another scheduler opens meanwhile has one. Numbers
// go up, as items do. A stream that cannot be read, as where it has no leader, is
// left for later, if a sale of a higher number is there: its number and its items
// are not given away again. Else nothing may open before it was read.
func (s *Scheduler) adopt(ctx context.Context, installation sale.UUID) error {
	ids, err := s.stream.Sales(ctx)
	if err != nil {
		return err
	}
	rows, err := s.allSales(ctx)
	if err != nil {
		return err
	}
	s.forgetNewest()
	settled := newestOpened(rows)
	var unread []sale.ID
	var errUnread error // of the last of them
	for _, id := range ids {
		row, known := rows[id]
		if known && row.State != sale.Preparing {
			continue
		}
		opening, err := s.stream.Opening(ctx, id)
		switch {
		case errors.Is(err, stream.ErrLost): // nothing was ever sold with it
		case errors.Is(err, wire.ErrMessage), errors.Is(err, wire.ErrVersion):
			s.refuse(id, err, foreignCure)
		case err != nil:
			unread, errUnread = append(unread, id), err
			if ctx.Err() != nil || len(unread) == mostUnread {
				return err
			}
		case opening.Sale.Installation != installation, opening.Sale.ID != id:
			s.refuse(id, stream.ErrForeign, foreignCure)
		case row.Sale != opening.Sale:
			taken, err := s.takeOver(ctx, opening.Sale)
			if err != nil {
				return err
			}
			settled = max(settled, taken)
		}
	}
	return s.adopted(unread, settled, errUnread)
}

// adopted ends an adoption that could not read some streams, in order; settled is
// the highest number of a sale that is there. It fails where it is not above them.
func (s *Scheduler) adopted(unread []sale.ID, settled sale.ID, errUnread error) error {
	if len(unread) > 0 && unread[len(unread)-1] > settled {
		return errUnread
	}
	s.postpone(unread)
	s.lacks(false)
	return nil
}

// mostUnread is how many streams that cannot be read are tried at a time: each may
// take some seconds, in which the slot's sale waits.
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

// postpone looks again in a while for streams that could not be read, and tells
// people of those that it could not be the last time either.
func (s *Scheduler) postpone(unread []sale.ID) {
	before := s.unread
	s.unread, s.adoptAt = map[sale.ID]bool{}, time.Time{}
	for _, id := range unread {
		s.adoptAt = s.now().Add(fullRepair)
		told, again := before[id]
		s.unread[id] = again
		if again && !told {
			s.alarms.Inc()
			s.log.Error("ALARM", "kind", "unread-stream", "sale", id,
				"do", "the ledger lacks this sale, which has a stream, and it is not opened again before that can be read: see that NATS has a leader for it")
		}
	}
}

// takeOver gives a sale its row and returns its number, or 0: the row is another's.
// It is opened from there as any other. From the first cursor on its decisions
// follow from its stream.
func (s *Scheduler) takeOver(ctx context.Context, of sale.Sale) (taken sale.ID, err error) {
	err = s.ledger.Adopt(ctx, of)
	if errors.Is(err, ledger.ErrTaken) {
		s.refuse(of.ID, err, "keep the stream: what was sold with it stands only there; restore a newer backup of the database")
		return 0, nil
	}
	if err == nil {
		s.knows(of.ID)
		s.log.Warn("the ledger was restored to before this sale opened: it is opened again as its stream says", "sale", of.ID, "uuid", of.UUID)
	}
	return of.ID, err
}

// allSales reads the rows of all sales.
func (s *Scheduler) allSales(ctx context.Context) (map[sale.ID]ledger.SaleRow, error) {
	all := map[sale.ID]ledger.SaleRow{}
	for before := sale.ID(0); ; {
		rows, err := s.ledger.Sales(ctx, before, pageSize)
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

// foreignCure is what to do about a stream of another installation.
const foreignCure = "no sale of this number opens, others do: give this installation a NATS of its own; if this one is, remove the stream, and the sale opens"

// refuse tells people, once, of a stream with which the sale of its number is not
// opened.
func (s *Scheduler) refuse(id sale.ID, why error, cure string) {
	s.mu.Lock()
	told := s.known.refused[id]
	s.known.refused[id] = true
	s.mu.Unlock()
	if told {
		return
	}
	s.alarms.Inc()
	s.log.Error("ALARM", "kind", "foreign-stream", "sale", id, "error", why, "do", cure)
}

func (s *Scheduler) isRefused(id sale.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.refused[id]
}

func (s *Scheduler) accept(id sale.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known.refused, id)
}

func (s *Scheduler) lacks(some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.lacking = some
}

func (s *Scheduler) lacking() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.lacking
}

func (s *Scheduler) newest() sale.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.newest
}

func (s *Scheduler) knows(id sale.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.newest = max(s.known.newest, id)
}

// forgetNewest comes before the sales that are there are looked for: one that is
// gone for good must not stop all others.
func (s *Scheduler) forgetNewest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.newest = 0
}
