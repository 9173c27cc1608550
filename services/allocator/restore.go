package allocator

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/allocator/term"
)

// pages reads an engine's decisions from the ledger, a page at a time: a sale of
// any size is restored in a time that grows with it, and what was read is kept
// when the next page cannot be. It has one owner.
type pages struct {
	ledger *ledger.Ledger
	size   int
	room   []allocation.Decision // of the last page, reused
}

// pageTimeout bounds the reading of one page.
const pageTimeout = ledgerTimeout

// read returns the next decisions on the way from an engine's position to a
// cursor. They are valid until the next call.
func (p *pages) read(ctx context.Context, id sale.ID, after int64, to allocation.Cursor) (page []allocation.Decision, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	if page, err = p.ledger.DecisionPage(ctx, id, after, to.Position, p.size, p.room); err == nil {
		p.room = page
	}
	return page, err
}

// leads reports whether what made an engine that stands at a cursor is in the
// ledger, and so leads to the cursor that was read from it before. After a restore
// that lost commits the sale may have gone beyond the engine's position by other
// decisions. Of an engine that was read at the opening of a generation, which is no
// commit, it says no, once it is left.
func (p *pages) leads(ctx context.Context, id sale.ID, at, to allocation.Cursor) (bool, error) {
	if at.Position == 0 || at.Chain == to.Chain {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return p.ledger.Committed(ctx, id, at.Generation, at.Sequence, at.Chain)
}

// extend brings an engine on by a page that was read for it. After an error the
// engine is of no use.
func (p *pages) extend(e *allocation.Engine, page []allocation.Decision, to allocation.Cursor) error {
	return term.Onward(e, page, len(page) < p.size, to)
}

// restore reads page after page, until one fails. Where there is much to read it
// waits for its turn, or commits would find no connection.
func (l *loop) restore(ctx context.Context, e term.Restore) term.Event {
	crash.At("allocator/before-restore")
	defer crash.At("allocator/after-restore")
	read := pages{ledger: l.ledger, size: l.cfg.RestorePage}
	engine, err := l.base(ctx, &read, e)
	if err != nil {
		return term.Restored{Engine: engine, Err: err}
	}
	if at := engine.Cursor().Position; e.To.Position-at > int64(l.cfg.RestorePage) {
		l.progress.page(e, at, l.attended.Load())
		l.progress.queue()
		select {
		case l.restores <- struct{}{}:
			defer func() { <-l.restores }()
		case <-ctx.Done():
			return term.Restored{Engine: engine, Err: ctx.Err()}
		}
	}
	for engine.Cursor() != e.To {
		at := engine.Cursor().Position
		l.progress.page(e, at, l.attended.Load())
		page, err := read.read(ctx, l.lease.Sale, at, e.To)
		if err != nil {
			return term.Restored{Engine: engine, Err: err}
		}
		if err := read.extend(engine, page, e.To); err != nil {
			return term.Restored{Err: err}
		}
	}
	if took := l.progress.restored(); took > 0 {
		l.log.Info("the sale is restored from the ledger", "decisions_up_to", e.To.Position, "took", took.Round(time.Millisecond))
	}
	return term.Restored{Engine: engine}
}

// base returns the engine to go on with: the term's, or a new one where there is
// none or the ledger does not know what it comes from.
func (l *loop) base(ctx context.Context, read *pages, e term.Restore) (*allocation.Engine, error) {
	if e.Engine != nil {
		at := e.Engine.Cursor()
		l.progress.page(e, at.Position, l.attended.Load())
		if leads, err := read.leads(ctx, l.lease.Sale, at, e.To); leads || err != nil {
			return e.Engine, err
		}
		l.log.Info(lostHistory, "position", at.Position)
	}
	return term.Blank(e.Of, e.To)
}

const lostHistory = "what was kept of the sale is not what the ledger holds, it is read anew"
