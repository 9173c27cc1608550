package allocator

import (
	"context"

	"notsale/pkg/allocation"
	"notsale/pkg/rejection"
)

// align makes the cache forget the sale's facts, unless the ledger knows the
// commit up to which they were learned: after a restore they may be of a history
// that never was. It is tried again until it succeeds, also while the sale is
// idle, and reports whether it has.
func (l *loop) align(ctx context.Context) bool {
	if l.aligned {
		return true
	}
	mark, found, err := l.cache.Mark(ctx, l.of)
	known := false
	if err == nil && found {
		ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
		defer cancel()
		known, err = l.ledger.Committed(ctx, l.lease.Sale, mark.Generation, mark.Sequence, mark.Chain)
	}
	if err == nil && !known {
		err = l.cache.Forget(ctx, l.of)
	}
	if err != nil {
		l.log.Debug("the cache is not compared with the ledger", "error", err)
		return false
	}
	if found && !known {
		l.log.Warn("the cache holds facts of commits that the ledger does not know: it was restored, they are forgotten", "generation", mark.Generation, "sequence", mark.Sequence)
	}
	l.aligned = true
	return true
}

// learn gives the cache what a committed batch proves.
func (l *loop) learn(ctx context.Context, b *allocation.Batch) error {
	if !l.align(ctx) {
		return nil
	}
	return l.cache.Learn(ctx, l.of, rejection.MarkOf(&b.After), &b.Facts)
}
