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

// alignTimeout bounds the look into the ledger: shoppers wait for their answers
// meanwhile, and the next look will do. alignLimit is how long align takes with
// its three calls to the cache.
const (
	alignTimeout = 5 * time.Second
	alignLimit   = 3*rejection.Timeout + alignTimeout
)

// align compares what the cache holds with the ledger, and tells it where the sale
// is sold out and it was not told: no later commit may, where all that is asked are
// items that it knows to be taken. It is tried again until it succeeds, also while
// the sale is idle.
func (l *loop) align(ctx context.Context) {
	l.compareFacts(ctx)
	if l.aligned && !l.toldSoldOut && l.committed.Sold == l.stock {
		if err := l.tell(ctx, &allocation.Facts{SoldOut: true}); err != nil {
			l.log.Debug("the cache is not told that the sale is sold out, trying on", "error", err)
		}
	}
}

// compareFacts makes the cache forget the sale's facts, unless they are those that
// this loop has looked at, or the ledger knows the commit up to which they were
// learned: after a restore they may be of a history that never was.
func (l *loop) compareFacts(ctx context.Context) {
	mark, err := l.cache.Mark(ctx, l.of)
	if err == nil && l.aligned && mark == l.mark {
		return
	}
	l.aligned, l.toldSoldOut = false, false
	if err != nil { // the cache has warned
		l.log.Debug("the cache is not compared with the ledger", "error", err)
		return
	}
	known, err := l.knows(ctx, mark)
	l.warned.about(l.log, "the cache's facts are not compared with the ledger, trying on", err)
	if err != nil {
		return
	}
	if !known {
		err = l.forget(ctx, mark)
		mark = rejection.Mark{}
	}
	l.mark, l.aligned = mark, err == nil
}

func (l *loop) knows(ctx context.Context, mark rejection.Mark) (bool, error) {
	if mark == (rejection.Mark{}) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, alignTimeout)
	defer cancel()
	return l.ledger.Committed(ctx, l.lease.Sale, mark.Generation, mark.Sequence, mark.Chain)
}

// forget removes all facts, whose mark the ledger does not know, or which have
// none.
func (l *loop) forget(ctx context.Context, mark rejection.Mark) error {
	err := l.cache.Forget(ctx, l.of)
	if mark == (rejection.Mark{}) || errors.Is(err, rejection.ErrPaused) {
		return err
	}
	l.warned.about(l.log, "the cache holds facts of commits that the ledger does not know, and does not forget them: shoppers are refused wrongly, trying on", err)
	if err == nil {
		l.log.Warn("the cache held facts of commits that the ledger does not know: one of them was restored, the facts are forgotten", "generation", mark.Generation, "sequence", mark.Sequence)
	}
	return err
}

// learn gives the cache what a committed batch proves. Where that fails, the next
// refusals repeat the facts, and only that the sale is sold out is given again.
func (l *loop) learn(ctx context.Context, b *allocation.Batch) error {
	l.committed = b.After
	if !l.aligned {
		l.align(ctx)
	}
	if !l.aligned {
		return nil
	}
	return l.tell(ctx, &b.Facts)
}

// tell gives the cache facts of what is committed.
func (l *loop) tell(ctx context.Context, f *allocation.Facts) error {
	mark, err := l.cache.Learn(ctx, l.of, l.mark, rejection.MarkOf(&l.committed), f)
	l.mark, l.aligned = mark, err == nil
	l.toldSoldOut = l.aligned && (l.toldSoldOut || f.SoldOut)
	return err
}
