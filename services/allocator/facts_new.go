package allocator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
)

// alignEvery is how often the mark of a sale is looked at while nothing is
// learned: so long edges may believe facts of a lost history where Redis is put
// back to an earlier moment. Where only the ledger is, the mark stays as it was:
// the cursor tells it, to the next request or to the look at an idle sale, up to
// 32 s later.
const alignEvery = 5 * time.Second

// facts are those of a sale in the cache, of which none may be of a history that
// the ledger does not know.
type facts struct {
	cache   Cache
	history History
	sale    sale.ID
	log     *slog.Logger

	of sale.UUID // since the ledger was read
	// aligned: the cache holds nothing of the sale that the ledger, as it was
	// last read, does not know, as long as its mark is this.
	aligned bool
	mark    rejection.Mark
	warned  warnOnce
}

// begin compares the cache with a ledger that was read anew.
func (f *facts) begin(ctx context.Context, of sale.UUID) {
	f.aligned, f.of = false, of
	f.align(ctx)
}

// align makes the cache forget the sale's facts, unless they are those that were
// looked at, or the ledger knows the commit up to which they were learned: after a
// restore they may be of a history that never was. It is tried again until it
// succeeds, also while the sale is idle.
func (f *facts) align(ctx context.Context) {
	mark, err := f.cache.Mark(ctx, f.of)
	if err == nil && f.aligned && mark == f.mark {
		return
	}
	f.aligned = false
	if err != nil { // the cache has warned
		f.log.Debug("the cache is not compared with the ledger", "error", err)
		return
	}
	known := false
	if mark != (rejection.Mark{}) {
		known, err = f.history.Committed(ctx, f.sale, mark)
	}
	f.warned.about(f.log, "the cache's facts are not compared with the ledger, trying on", err)
	if err != nil {
		return
	}
	if !known {
		err = f.forget(ctx, mark)
		mark = rejection.Mark{}
	}
	f.mark, f.aligned = mark, err == nil
}

// forget removes all facts, whose mark the ledger does not know, or which have
// none.
func (f *facts) forget(ctx context.Context, mark rejection.Mark) error {
	err := f.cache.Forget(ctx, f.of)
	if mark == (rejection.Mark{}) || errors.Is(err, rejection.ErrPaused) {
		return err
	}
	f.warned.about(f.log, "the cache holds facts of commits that the ledger does not know, and does not forget them: shoppers are refused wrongly, trying on", err)
	if err == nil {
		f.log.Warn("the cache held facts of commits that the ledger does not know: one of them was restored, the facts are forgotten", "generation", mark.Generation, "sequence", mark.Sequence)
	}
	return err
}

// learn gives the cache what a committed batch proves. Where that fails, the
// facts are not given again: the next refusals repeat them.
func (f *facts) learn(ctx context.Context, b *allocation.Batch) {
	if !f.aligned {
		f.align(ctx)
	}
	if !f.aligned {
		return
	}
	mark, err := f.cache.Learn(ctx, f.of, f.mark, rejection.MarkOf(&b.After), &b.Facts)
	if f.mark, f.aligned = mark, err == nil; err != nil {
		f.log.Debug("facts not cached", "error", err)
	}
}
