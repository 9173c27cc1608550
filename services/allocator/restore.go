package allocator

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/host"
	"notsale/pkg/sale"
)

// maxExpected bounds the memory that a restore asks for ahead of reading.
const maxExpected = 1 << 20

// blank returns an engine of the sale that knows no decision yet, on its way to
// a cursor. allocation.ErrRules: the sale's rules are not known.
func blank(of sale.Sale, to allocation.Cursor) (*allocation.Engine, error) {
	return allocation.Restore(of, allocation.Cursor{}, each(nil), int(min(to.Position, maxExpected)))
}

// onward brings an engine on by a page, the next of the ledger's decisions on its
// way to a cursor: to that where it is the last, else to where the page ends,
// which is no cursor of the sale's, but names the one that it was to lead to. After
// an error the engine is of no use.
func onward(e *allocation.Engine, page []allocation.Decision, last bool, to allocation.Cursor) error {
	if !last {
		sold := e.Cursor().Sold
		for i := range page {
			if d := &page[i]; d.Reason == allocation.Granted && !d.Code.IsZero() {
				sold++
			}
		}
		to = allocation.Cursor{Generation: to.Generation, Sequence: to.Sequence, Chain: to.Chain, Position: page[len(page)-1].Position, Sold: sold}
	}
	return e.Extend(to, each(page))
}

func each(page []allocation.Decision) func(yield func(allocation.Decision, error) bool) {
	return func(yield func(allocation.Decision, error) bool) {
		for i := range page {
			if !yield(page[i], nil) {
				return
			}
		}
	}
}

// leads reports whether what made an engine that stands at a cursor is in the
// ledger, and so leads to the cursor that was read from it before. After a restore
// that lost commits the sale may have gone beyond the engine's position by other
// decisions. Of an engine that was read at the opening of a generation, which is no
// commit, it says no, once it is left.
func leads(ctx context.Context, h History, id sale.ID, at, to allocation.Cursor) (bool, error) {
	if at.Position == 0 || at.Chain == to.Chain {
		return true, nil
	}
	return h.Committed(ctx, id, at.Generation, at.Sequence, at.Chain)
}

// restore brings the engine to the cursor. One that no history gives is restored
// once more from nothing, after the ledger was read again: it may be of a server
// that lost commits, as this lease's.
func (t *term) restore(ctx context.Context) error {
	if t.engine != nil && t.engine.Cursor() == t.at.Cursor {
		return nil
	}
	err := t.readOn(ctx, t.at.Cursor)
	switch {
	case err == nil:
		t.misfit = false
	case !errors.Is(err, allocation.ErrHistory):
	case t.misfit:
		return t.giveUp("inconsistent-ledger", err)
	default:
		t.engine, t.misfit = nil, true
	}
	return err
}

// readOn reads page after page, until one fails: what the engine has learned stays.
// Where there is much to read it waits for its turn, or commits would find no
// connection.
func (t *term) readOn(ctx context.Context, to allocation.Cursor) error {
	if err := t.base(ctx, to); err != nil {
		return err
	}
	if at := t.engine.Cursor().Position; to.Position-at > int64(t.cfg.RestorePage) {
		t.progress.queue(at, to.Position)
		if _, ok := t.turns.Take(ctx, host.Forever); !ok {
			return ctx.Err()
		}
		defer t.turns.Put(nil)
	}
	for t.engine.Cursor() != to {
		at := t.engine.Cursor().Position
		t.progress.page(at, to.Position)
		if err := t.readPage(ctx, at, to); err != nil {
			return err
		}
		if err := onward(t.engine, t.page, len(t.page) < t.cfg.RestorePage, to); err != nil {
			t.engine = nil
			return err
		}
	}
	if took := t.progress.restored(); took > 0 {
		t.log.Info("the sale is restored from the ledger", "decisions_up_to", to.Position, "took", took.Round(time.Millisecond))
	}
	return nil
}

// readPage reads the next decisions on the way from a position to a cursor.
func (t *term) readPage(ctx context.Context, after int64, to allocation.Cursor) error {
	ctx, done := t.call(ctx, restoring, ledgerTimeout)
	defer done()
	page, err := t.history.DecisionPage(ctx, t.lease.Sale, after, to.Position, t.cfg.RestorePage, t.page)
	if err == nil {
		t.page = page
	}
	return err
}

// base makes a new engine where there is none, or the ledger does not know what it
// comes from.
func (t *term) base(ctx context.Context, to allocation.Cursor) (err error) {
	if t.engine != nil {
		at := t.engine.Cursor()
		known, err := t.leads(ctx, at, to)
		if known || err != nil {
			return err
		}
		t.log.Info(lostHistory, "position", at.Position)
	}
	t.engine, err = blank(t.sale, to)
	return err
}

func (t *term) leads(ctx context.Context, at, to allocation.Cursor) (bool, error) {
	ctx, done := t.call(ctx, restoring, ledgerTimeout)
	defer done()
	return leads(ctx, t.history, t.lease.Sale, at, to)
}

const lostHistory = "what was kept of the sale is not what the ledger holds, it is read anew"
