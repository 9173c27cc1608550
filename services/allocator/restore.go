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
	engine := e.Engine
	if engine == nil {
		var err error
		if engine, err = term.Blank(e.Of, e.To); err != nil {
			return term.Restored{Err: err}
		}
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
	read := pages{ledger: l.ledger, size: l.cfg.RestorePage}
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
