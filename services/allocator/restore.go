package allocator

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/host"
	"notsale/pkg/sale"
)

// maxExpected bounds the memory that a restore allocates before it has read
// anything.
const maxExpected = 1 << 20

const lostHistory = "what was kept of the sale is not what the ledger holds, it is read anew"

// blank returns an engine of the sale without any decision, to be extended up to a
// cursor. allocation.ErrRules: this program does not know the sale's rules.
func blank(s sale.Sale, to allocation.Cursor) (*allocation.Engine, error) {
	return allocation.Restore(s, allocation.Cursor{}, each(nil), int(min(to.Position, maxExpected)))
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

// pages extends engines by the ledger's decisions, a page at a time. It has one
// owner.
type pages struct {
	history History
	host    host.Host
	size    int                   // most decisions of a page
	page    []allocation.Decision // the page read last; its memory is reused
}

// leads reports whether an engine at one cursor can be extended to another, which
// was read from the ledger before: whether the commit that it ends with is in the
// ledger. After a restore that lost commits, the sale may have come further by
// other decisions. It says no, too, of an engine that was extended to the opening
// of a generation, which is no commit.
func (p *pages) leads(ctx context.Context, id sale.ID, at, to allocation.Cursor) (bool, error) {
	if at.Position == 0 || at.Chain == to.Chain {
		return true, nil
	}
	ctx, cancel := p.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	return p.history.Committed(ctx, id, at.Generation, at.Sequence, at.Chain)
}

// read reads the next page between a position and a cursor.
func (p *pages) read(ctx context.Context, id sale.ID, after int64, to allocation.Cursor) error {
	ctx, cancel := p.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	page, err := p.history.DecisionPage(ctx, id, after, to.Position, p.size, p.page)
	if err == nil {
		p.page = page
	}
	return err
}

// extend extends an engine by the page: to the cursor if it is the last page, else
// to the page's last position. The engine's cursor there is none of the sale's, but
// has the generation, sequence and chain of the one that it is on its way to, for
// leads. After an error the engine is of no use.
func (p *pages) extend(e *allocation.Engine, to allocation.Cursor) error {
	if len(p.page) == p.size {
		sold := e.Cursor().Sold
		for i := range p.page {
			if d := &p.page[i]; d.Reason == allocation.Granted && !d.Code.IsZero() {
				sold++
			}
		}
		to = allocation.Cursor{Generation: to.Generation, Sequence: to.Sequence, Chain: to.Chain, Position: p.page[p.size-1].Position, Sold: sold}
	}
	return e.Extend(to, each(p.page))
}

// restore brings the engine to the cursor of the last commit. If the ledger's
// decisions cannot have led there, it fails, and the next try starts from nothing
// with a cursor that was read again: a server that lost commits may have answered.
// If that fails in the same way, a person is needed.
func (t *term) restore(ctx context.Context) error {
	if t.engine != nil && t.engine.Cursor() == t.at.Cursor {
		return nil
	}
	err := t.extend(ctx, t.at.Cursor)
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

// extend reads page after page into the engine, up to a cursor. What it has read
// before an error stays. A long restore waits for its turn, so that commits of
// other sales find a connection.
func (t *term) extend(ctx context.Context, to allocation.Cursor) (err error) {
	if t.engine != nil {
		at := t.engine.Cursor()
		t.progress.begin(restoring, ledgerTimeout)
		known, err := t.pages.leads(ctx, t.lease.Sale, at, to)
		if err != nil {
			return err
		}
		if !known {
			t.log.Info(lostHistory, "position", at.Position)
			t.engine = nil
		}
	}
	if t.engine == nil {
		if t.engine, err = blank(t.sale, to); err != nil {
			return err
		}
	}
	if at := t.engine.Cursor().Position; to.Position-at > int64(t.pages.size) {
		t.progress.restores(at, to.Position)
		t.progress.begin(queueing, 0)
		if _, ok := t.turns.Take(ctx, host.Forever); !ok {
			return ctx.Err()
		}
		defer t.turns.Put(nil)
	}
	for t.engine.Cursor() != to {
		at := t.engine.Cursor().Position
		t.progress.restores(at, to.Position)
		t.progress.begin(restoring, ledgerTimeout)
		if err := t.pages.read(ctx, t.lease.Sale, at, to); err != nil {
			return err
		}
		if err := t.pages.extend(t.engine, to); err != nil {
			t.engine = nil
			return err
		}
	}
	if took := t.progress.restored(); took > 0 {
		t.log.Info("the sale is restored from the ledger", "decisions_up_to", to.Position, "took", took.Round(time.Millisecond))
	}
	return nil
}
