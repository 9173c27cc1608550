package allocator

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/rejection"
)

// alignEvery is how often the mark of a sale is looked at while nothing is
// learned: so long edges may believe facts of a lost history where Redis is put
// back to an earlier moment. Where only the ledger is, the mark stays as it was:
// the cursor tells it, to the next request or to the look at an idle sale, up to
// 32 s later.
const alignEvery = 5 * time.Second

// knownTimeout bounds the look into the ledger: shoppers wait for their answers
// meanwhile, and the next look will do. factsLimit is how long the cache is compared
// with it, and told.
const (
	knownTimeout = 5 * time.Second
	factsLimit   = 4*rejection.Timeout + knownTimeout
)

// facts is what is known of the sale's facts in the cache, of which none may be of a
// history that the ledger does not know.
type facts struct {
	// aligned: the cache holds nothing of the sale that the ledger, as it was
	// last read, does not know, as long as its mark is this.
	aligned     bool
	mark        rejection.Mark
	toldSoldOut bool // with that mark, the cache knows that no item is left
}

// align compares what the cache holds with the ledger, and tells it where the sale
// is sold out and it was not told: no later commit may, where all that is asked are
// items that it knows to be taken. It is tried again until it succeeds, also while
// the sale is idle.
func (t *term) align(ctx context.Context) {
	t.progress.begin("comparing the cache", factsLimit)
	t.compareFacts(ctx)
	if t.facts.aligned && !t.facts.toldSoldOut && t.at.Cursor.Sold == t.sale.Stock {
		if err := t.teach(ctx, &allocation.Facts{SoldOut: true}); err != nil {
			t.log.Debug("the cache is not told that the sale is sold out, trying on", "error", err)
		}
	}
}

// compareFacts makes the cache forget the sale's facts, unless they are those that
// were looked at, or the ledger knows the commit up to which they were
// learned: after a restore they may be of a history that never was.
func (t *term) compareFacts(ctx context.Context) {
	mark, err := t.cache.Mark(ctx, t.sale.UUID)
	if err == nil && t.facts.aligned && mark == t.facts.mark {
		return
	}
	t.facts.aligned, t.facts.toldSoldOut = false, false
	if err != nil { // the cache has warned
		t.log.Debug("the cache is not compared with the ledger", "error", err)
		return
	}
	known, err := t.knows(ctx, mark)
	t.warned.about(t.log, "the cache's facts are not compared with the ledger, trying on", err)
	if err != nil {
		return
	}
	if !known {
		err = t.forget(ctx, mark)
		mark = rejection.Mark{}
	}
	t.facts.mark, t.facts.aligned = mark, err == nil
}

func (t *term) knows(ctx context.Context, mark rejection.Mark) (bool, error) {
	if mark == (rejection.Mark{}) {
		return false, nil
	}
	ctx, cancel := t.host.WithTimeout(ctx, knownTimeout)
	defer cancel()
	return t.history.Committed(ctx, t.lease.Sale, mark.Generation, mark.Sequence, mark.Chain)
}

// forget removes all facts, whose mark the ledger does not know, or which have
// none.
func (t *term) forget(ctx context.Context, mark rejection.Mark) error {
	err := t.cache.Forget(ctx, t.sale.UUID)
	if mark == (rejection.Mark{}) || errors.Is(err, rejection.ErrPaused) {
		return err
	}
	t.warned.about(t.log, "the cache holds facts of commits that the ledger does not know, and does not forget them: shoppers are refused wrongly, trying on", err)
	if err == nil {
		t.log.Warn("the cache held facts of commits that the ledger does not know: one of them was restored, the facts are forgotten", "generation", mark.Generation, "sequence", mark.Sequence)
	}
	return err
}

// learn gives the cache what a committed batch proves. Where that fails, the next
// refusals repeat the facts, and only that the sale is sold out is given again.
func (t *term) learn(ctx context.Context, b *allocation.Batch) error {
	if !t.facts.aligned {
		t.align(ctx)
	}
	if !t.facts.aligned {
		return nil
	}
	return t.teach(ctx, &b.Facts)
}

// teach gives the cache facts of what is committed.
func (t *term) teach(ctx context.Context, what *allocation.Facts) error {
	mark, err := t.cache.Learn(ctx, t.sale.UUID, t.facts.mark, rejection.MarkOf(&t.at.Cursor), what)
	t.facts.mark, t.facts.aligned = mark, err == nil
	t.facts.toldSoldOut = t.facts.aligned && (t.facts.toldSoldOut || what.SoldOut)
	return err
}
