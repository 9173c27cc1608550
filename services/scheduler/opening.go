package scheduler

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// pause is the time to the next slot, at most retryPause.
func (s *Scheduler) pause(ctx context.Context) time.Duration {
	ctx, cancel := s.host.WithTimeout(ctx, retryPause)
	defer cancel()
	next, err := s.ports.Ledger.NextSlot(ctx, s.cfg.Every)
	if err != nil || next <= 0 {
		return retryPause
	}
	return min(next, retryPause)
}

// openSlot opens the current slot's sale, if it is not yet open, and tells people
// of one that is not.
func (s *Scheduler) openSlot(ctx context.Context) error {
	ctx, cancel := s.host.WithTimeout(ctx, turnTimeout)
	defer cancel()
	err := s.openNewest(ctx)
	s.watchOpen(err)
	return err
}

// openNewest makes the slot's sale, which is then the newest, and opens it.
func (s *Scheduler) openNewest(ctx context.Context) error {
	clock, err := s.makeRow(ctx)
	if err != nil {
		return err
	}
	s.seen.Store(&view{s.directory, s.opened, clock, s.skewed, s.left})
	s.claimed()
	rows, err := s.ports.Rows.Sales(ctx, 0, recentSales)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		s.newest = max(s.newest, rows[0].Sale.ID)
	}
	if len(rows) > 0 && s.opens(&rows[0]) {
		var opened bool
		if opened, err = s.open(ctx, rows[0].Sale); opened {
			rows[0].State = sale.Open
			err = s.directory.Put(ctx, wire.Entry{Sale: rows[0].Sale, State: sale.Open})
		}
	}
	s.lookWhatIsOpen(rows, clock)
	return err
}

// opens reports whether the newest sale is to be opened.
func (s *Scheduler) opens(row *ledger.SaleRow) bool {
	return row.State == sale.Preparing && !s.skewed && allocation.KnownRules(row.Sale.Rules)
}

// makeRow makes the row of the current slot's sale unless it is there, and
// returns NATS's time.
func (s *Scheduler) makeRow(ctx context.Context) (time.Time, error) {
	if err := s.openDirectory(ctx); err != nil {
		return time.Time{}, err
	}
	clock, local, err := s.directory.ServerTime(ctx)
	if err != nil {
		s.directory = nil // it may be gone, and what it listed
		return time.Time{}, err
	}
	seed, err := newSeed()
	if err != nil {
		return time.Time{}, err
	}
	t := ledger.Template{
		Every: s.cfg.Every, Stock: s.cfg.Stock, UserLimit: s.cfg.UserLimit, Seed: seed, Newest: s.newest,
		Other: ledger.Reading{Clock: clock, At: local},
	}
	_, err = s.ports.Rows.OpenSlot(ctx, t)
	if errors.Is(err, ledger.ErrWentBack) {
		s.lacking.Store(true)
	}
	if err != nil && !errors.Is(err, ledger.ErrClocks) {
		return time.Time{}, err
	}
	s.watchClocks(err)
	return clock, nil
}

// openDirectory opens the directory unless it is open, sees that it is ours, and
// that the ledger has all sales.
func (s *Scheduler) openDirectory(ctx context.Context) error {
	if s.directory != nil && !s.lacking.Load() {
		return nil
	}
	directory, err := s.ports.Store.Directory(ctx)
	if err != nil {
		return err
	}
	installation, err := s.ports.Ledger.Installation(ctx)
	if err != nil {
		return err
	}
	if err := directory.Claim(ctx, installation); err != nil {
		return err
	}
	unread, settled, err := s.adopt(ctx, installation, nil)
	if err != nil {
		return err
	}
	s.lacking.Store(false)
	s.directory, s.left, s.newest = directory, unread, settled // a sale that is gone for good must not stop all others
	s.opened++
	return nil
}

// open makes a sale's streams and opens it, unless its stream is another's, of
// which people are told.
func (s *Scheduler) open(ctx context.Context, of sale.Sale) (opened bool, err error) {
	opening, err := s.makeStreams(ctx, of)
	_, refused := s.refused.Load(of.ID)
	switch {
	case err == nil:
		s.refused.Delete(of.ID)
	case !errors.Is(err, stream.ErrForeign):
		return false, err
	case opening.Sale.Installation == of.Installation && !refused: // it is taken over before the next is opened
		s.lacking.Store(true)
		return false, fmt.Errorf("%w: %v", ledger.ErrWentBack, err) //nolint:errorlint // it is no foreign stream
	default:
		s.refuse(of.ID, err, foreignCure)
		return false, nil
	}
	genesis := allocation.Genesis(opening.Message.Hash(), opening.Message.Time)
	if err := s.ports.Rows.MarkOpen(ctx, of.ID, genesis, opening.Created); err != nil {
		return false, err
	}
	s.sales.Inc()
	s.log.Info("sale opened", "sale", of.ID, "opens_at", of.OpensAt, "stock", of.Stock, "first_item", of.FirstItem, "last_item", of.LastItem())
	return true, nil
}

// makeStreams makes the streams of a sale and its opening record, where they are
// missing. A sale that has its record had both streams: they may be sealed, and one
// that is lost is not made again.
func (s *Scheduler) makeStreams(ctx context.Context, of sale.Sale) (stream.Opening, error) {
	p := s.ports.Streams
	if opening, err := p.OpeningOf(ctx, of); !errors.Is(err, stream.ErrLost) {
		return opening, err
	}
	if err := p.CreateCheckouts(ctx, of.ID); err != nil {
		return stream.Opening{}, err
	}
	if err := p.CreatePurchases(ctx, of.ID); err != nil {
		return stream.Opening{}, err
	}
	if err := p.PublishOpening(ctx, of); err != nil {
		return stream.Opening{}, err
	}
	return p.OpeningOf(ctx, of)
}

func newSeed() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("drawing a seed: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) >> 1, nil
}
