package shop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

const (
	followPause = 200 * time.Millisecond // between two tries
	salesPage   = 1000                   // sales that are read from the ledger at once
)

// Why a shop is not ready.
var (
	errUnlisted = errors.New("the directory of sales has not been read yet")
	errUnread   = errors.New("the sales have not been read from the ledger yet")
)

// Ready reports why the shop does not know all sales, or nil. Once it did, it needs
// neither the directory nor the ledger for that.
func (s *Shop) Ready() error {
	switch why := s.unwatched.Load(); {
	case !s.listed.Load() && why != nil:
		return fmt.Errorf("%w: %w", errUnlisted, *why)
	case !s.listed.Load():
		return errUnlisted
	case !s.read.Load():
		return errUnread
	}
	return nil
}

// Follow learns of sales until ctx ends.
func (s *Shop) Follow(ctx context.Context) {
	s.host.Go(func() { s.list(ctx) })
	s.watch(ctx)
}

// list reads all sales from the ledger once, so that codes of every one of them
// are answered: the list in NATS may be lost, and is not whole while it is written
// again.
func (s *Shop) list(ctx context.Context) {
	warned := false
	for before := sale.ID(0); ctx.Err() == nil; {
		page, err := s.salesBefore(ctx, before)
		if err == nil {
			s.sales.learn(page)
			if len(page) < salesPage {
				s.read.Store(true)
				return
			}
			before = page[len(page)-1].Sale.ID
			continue
		}
		if !warned && ctx.Err() == nil {
			s.log.Warn("the sales are not read from the ledger, trying on", "error", err)
			warned = true
		}
		s.host.Wait(ctx, followPause)
	}
}

func (s *Shop) salesBefore(ctx context.Context, before sale.ID) (page []ledger.SaleRow, err error) {
	ctx, cancel := s.host.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	return s.ports.Ledger.Sales(ctx, before, salesPage)
}

// watch keeps the directory up to date.
func (s *Shop) watch(ctx context.Context) {
	for warned := false; ctx.Err() == nil; s.host.Wait(ctx, followPause) {
		listed := false
		err := s.ports.Directory.Watch(ctx, func(entry wire.Entry) {
			s.sales.put(entry)
			if listed {
				s.sales.publish()
			}
		}, func() {
			listed, warned = true, false
			s.sales.publish()
			s.listed.Store(true)
		})
		if ctx.Err() != nil {
			return
		}
		s.unwatched.Store(&err)
		if s.ports.Directory.Connected() && !warned {
			s.log.Warn("the directory of sales is not watched, trying on", "error", err)
			warned = true
		}
	}
}
