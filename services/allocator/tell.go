package allocator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/rejection"
	"notsale/pkg/wire"
)

// alignEvery is how often a term compares its mark with the cache's while nothing
// is learned: if Redis is put back to an earlier state, edges may believe facts of
// a lost history for so long. If only the ledger is put back, the mark in the cache
// stays the same, and the term finds that by the cursor: at the next request or
// look, up to 32 s later.
const alignEvery = 5 * time.Second

const (
	// knownTimeout bounds the look into the ledger: shoppers wait for their answers
	// meanwhile, and the next look will do.
	knownTimeout = 5 * time.Second
	// factsLimit is for comparing the cache with the ledger and telling it facts.
	factsLimit = 4*rejection.Timeout + knownTimeout
)

// tell tells what is committed: first the cache, then the edges.
func (t *term) tell(ctx context.Context, b *allocation.Batch) {
	t.metrics.committed(b, t.host.Now())
	t.progress.begin("telling what is committed", factsLimit)
	t.progress.well()
	if err := t.learn(ctx, b); err != nil {
		t.log.Debug("facts not cached", "error", err)
	}
	t.warned.about(t.log, "decisions are not told: shoppers wait, and are told to ask again", t.replies.send(b.Replies))
}

// facts is what a term knows of the cache's facts of its sale.
type facts struct {
	// aligned: as long as the cache's mark is this, its facts are of a history that
	// the ledger knows, as it was last read.
	aligned     bool
	mark        rejection.Mark
	toldSoldOut bool // with that mark, the cache knows that no item is left
}

// learn gives the cache what a committed batch proves. If that fails, the next
// refusals repeat the facts; only "sold out" is given again by align.
func (t *term) learn(ctx context.Context, b *allocation.Batch) error {
	if !t.facts.aligned {
		t.align(ctx)
	}
	if !t.facts.aligned {
		return nil
	}
	return t.teach(ctx, &b.Facts)
}

// align compares the cache's facts with the ledger. It also tells the cache that
// the sale is sold out if it does not know: no later commit may do that, because
// the cache itself refuses requests for items that it knows to be taken. It is
// called until it succeeds, also while the sale is idle.
func (t *term) align(ctx context.Context) {
	t.progress.begin("comparing the cache", factsLimit)
	t.compareFacts(ctx)
	if t.facts.aligned && !t.facts.toldSoldOut && t.at.Cursor.Sold == t.sale.Stock {
		if err := t.teach(ctx, &allocation.Facts{SoldOut: true}); err != nil {
			t.log.Debug("the cache is not told that the sale is sold out, trying on", "error", err)
		}
	}
}

// compareFacts removes the sale's facts from the cache, unless their mark is the
// one seen last, or names a commit that the ledger knows: after a restore they may
// be of a lost history.
func (t *term) compareFacts(ctx context.Context) {
	mark, err := t.ports.Cache.Mark(ctx, t.sale.UUID)
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

// knows reports whether the ledger knows the commit that a mark names.
func (t *term) knows(ctx context.Context, mark rejection.Mark) (bool, error) {
	if mark == (rejection.Mark{}) {
		return false, nil
	}
	ctx, cancel := t.host.WithTimeout(ctx, knownTimeout)
	defer cancel()
	return t.ports.History.Committed(ctx, t.lease.Sale, mark.Generation, mark.Sequence, mark.Chain)
}

// forget removes all facts of the sale, whose mark the ledger does not know.
func (t *term) forget(ctx context.Context, mark rejection.Mark) error {
	err := t.ports.Cache.Forget(ctx, t.sale.UUID)
	if mark == (rejection.Mark{}) || errors.Is(err, rejection.ErrPaused) {
		return err
	}
	t.warned.about(t.log, "the cache holds facts of commits that the ledger does not know, and does not forget them: shoppers are refused wrongly, trying on", err)
	if err == nil {
		t.log.Warn("the cache held facts of commits that the ledger does not know: one of them was restored, the facts are forgotten", "generation", mark.Generation, "sequence", mark.Sequence)
	}
	return err
}

// teach gives the cache facts of what is committed.
func (t *term) teach(ctx context.Context, what *allocation.Facts) error {
	mark, err := t.ports.Cache.Learn(ctx, t.sale.UUID, t.facts.mark, rejection.MarkOf(&t.at.Cursor), what)
	t.facts.mark, t.facts.aligned = mark, err == nil
	t.facts.toldSoldOut = t.facts.aligned && (t.facts.toldSoldOut || what.SoldOut)
	return err
}

// replies sends decisions to the edges that asked. Its memory is reused.
type replies struct {
	edges  Edges
	byEdge map[string][]wire.Reply
	buffer []byte
}

// send sends one message per edge, or several where one would be larger than the
// server takes. A message that cannot be sent is dropped, since shoppers ask again;
// the error is that of the last one.
func (r *replies) send(all []allocation.Reply) (failed error) {
	for i := range all {
		d := &all[i].Decision
		r.byEdge[all[i].Edge] = append(r.byEdge[all[i].Edge], wire.Reply{
			Number: all[i].Number, Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At,
		})
	}
	perMessage := max(1, min(r.edges.MaxMessage(), wire.MaxMessage)/wire.ReplySize)
	for _, edge := range slices.Sorted(maps.Keys(r.byEdge)) {
		for list := range slices.Chunk(r.byEdge[edge], perMessage) {
			r.buffer = wire.AppendReplies(r.buffer[:0], list)
			if err := r.edges.Reply(edge, r.buffer); err != nil {
				failed = err
			}
		}
	}
	clear(r.byEdge)
	return failed
}
