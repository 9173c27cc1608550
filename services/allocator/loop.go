package allocator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/allocator/term"
)

// loop carries out what a term says, during one lease.
type loop struct {
	*Allocator
	lease     ledger.Lease
	log       *slog.Logger
	cancel    context.CancelCauseFunc
	progress  progress
	reader    *stream.Reader // owned by run
	of        sale.UUID      // since the ledger was read, as the next two; owned by run
	stock     int
	committed allocation.Cursor // what the ledger was last seen at
	// aligned: the cache holds nothing of the sale that the ledger, as it was
	// last read, does not know, as long as its mark is this. Owned by run.
	aligned     bool
	mark        rejection.Mark
	toldSoldOut bool     // with that mark, the cache knows that no item is left; owned by run
	warned      warnOnce // owned by run
	out         replies
	err         error // why run returned; written before the loop is sent to ended
}

// run decides the sale until ctx ends or the term does.
func (l *loop) run(ctx context.Context, warm *allocation.Engine) error {
	defer l.closeReader()
	t := term.New(l.lease, l.cfg.BatchRequests, warm)
	for next := term.Effect(term.ReadLedger{}); ctx.Err() == nil; {
		if end, ok := next.(term.Stop); ok {
			return l.ends(t, end.Why)
		}
		next = t.Step(l.perform(ctx, next))
	}
	return l.ends(t, context.Cause(ctx))
}

// ends counts a commit that another allocator's lease refused.
func (l *loop) ends(t *term.Term, why error) error {
	if errors.Is(why, ledger.ErrFenced) && t.Undecided() {
		l.metrics.fenced.Inc()
	}
	return why
}

// perform carries out one effect and returns what it led to.
func (l *loop) perform(ctx context.Context, e term.Effect) term.Event {
	l.progress.begin(e, l.attended.Load())
	switch e := e.(type) {
	case term.ReadLedger:
		return l.readLedger(ctx, e.Settle)
	case term.ReadStream:
		return l.readStream(ctx, e.Sequence)
	case term.Compare:
		return l.compare(ctx, e.Sequence)
	case term.OpenHole:
		return l.openHole(ctx, &e.Hole)
	case term.OpenReader:
		return l.openReader(ctx, e.From)
	case term.Await:
		return l.await(ctx, e.Patience)
	case term.Peek:
		return l.peek(ctx)
	case term.Restore:
		return l.restore(ctx, e)
	case term.Commit:
		return l.commit(ctx, e.Batch)
	case term.Publish:
		return l.publish(ctx, e)
	case term.Pause:
		l.metrics.restarts.Inc()
		level := slog.LevelDebug // the first failure of a row was told
		if l.progress.fail(e.Err) {
			level = slog.LevelWarn
		}
		l.log.Log(ctx, level, "something failed, going on after a pause", "error", e.Err, "pause", e.Length)
		sleep(ctx, e.Length)
		return term.Resumed{}
	case term.Alarm:
		l.metrics.alarms.WithLabelValues(e.Kind).Inc()
		l.log.Error("ALARM", "kind", e.Kind, "error", e.Err)
		return term.Resumed{}
	}
	panic("allocator: unknown effect")
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (l *loop) closeReader() {
	if l.reader != nil {
		l.reader.Stop()
		l.reader = nil
	}
}

func (l *loop) readLedger(ctx context.Context, settle bool) term.Event {
	crash.At("allocator/before-read-ledger")
	defer crash.At("allocator/after-read-ledger")
	l.closeReader()
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	read := l.ledger.Cursor
	if settle {
		read = l.settled
	}
	pos, err := read(ctx, l.lease.Sale)
	if err != nil {
		return term.LedgerRead{Err: err}
	}
	row, err := l.ledger.Sale(ctx, l.lease.Sale)
	if err == nil {
		l.aligned, l.of, l.stock, l.committed = false, row.Sale.UUID, row.Sale.Stock, pos.Cursor
		l.align(ctx)
	}
	return term.LedgerRead{Row: row.Sale, Pos: pos, Err: err}
}

func (l *loop) settled(ctx context.Context, id sale.ID) (ledger.Position, error) {
	return l.ledger.Settled(ctx, id, l.lease.Epoch)
}

func (l *loop) peek(ctx context.Context) term.Event {
	info, err := l.stream.Info(ctx, l.lease.Sale)
	if err != nil {
		return term.Peeked{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	pos, err := l.ledger.Cursor(ctx, l.lease.Sale)
	l.align(ctx)
	return term.Peeked{Info: info, Pos: pos, Err: err}
}

func (l *loop) readStream(ctx context.Context, sequence uint64) term.Event {
	crash.At("allocator/before-read-stream")
	defer crash.At("allocator/after-read-stream")
	var r term.StreamRead
	if r.Opening, r.Err = l.stream.Opening(ctx, l.lease.Sale); r.Err != nil {
		return r
	}
	if r.Info, r.Err = l.stream.Info(ctx, l.lease.Sale); r.Err != nil {
		return r
	}
	if r.Info.Last >= sequence {
		r.Message, r.Err = l.stream.Message(ctx, l.lease.Sale, sequence)
	}
	return r
}

func (l *loop) compare(ctx context.Context, sequence uint64) term.Event {
	crash.At("allocator/before-compare")
	defer crash.At("allocator/after-compare")
	m, err := l.stream.Message(ctx, l.lease.Sale, sequence)
	if errors.Is(err, stream.ErrLost) {
		return term.Compared{}
	}
	if err != nil {
		return term.Compared{Err: err}
	}
	mark := term.MarkOf(&m)
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	same, err := l.ledger.Applied(ctx, l.lease.Sale, sequence, mark)
	return term.Compared{Same: same, Mark: mark, Err: err}
}

func (l *loop) openHole(ctx context.Context, h *allocation.Hole) term.Event {
	crash.At("allocator/before-open-hole")
	defer crash.At("allocator/after-open-hole")
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	return term.HoleOpened{Err: l.ledger.OpenGeneration(ctx, l.lease.Sale, l.lease.Epoch, h)}
}

func (l *loop) openReader(ctx context.Context, from uint64) term.Event {
	crash.At("allocator/before-open-reader")
	defer crash.At("allocator/after-open-reader")
	l.closeReader()
	var err error
	l.reader, err = l.stream.Read(ctx, l.lease.Sale, from)
	return term.ReaderOpened{Err: err}
}

// await waits for a message and takes those behind it, without waiting more.
func (l *loop) await(ctx context.Context, patience time.Duration) term.Event {
	timer, look := time.NewTimer(patience), time.NewTicker(alignEvery)
	defer timer.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return term.ReaderFailed{Err: ctx.Err()}
		case <-timer.C:
			return term.Quiet{}
		case <-look.C:
			l.progress.align(l.attended.Load())
			l.align(ctx)
			l.progress.begin(term.Await{Patience: patience}, l.attended.Load())
		case m, open := <-l.reader.Messages():
			if !open {
				return term.ReaderFailed{Err: l.reader.Err()}
			}
			return term.Arrived{Messages: l.drain([]stream.Message{m})}
		}
	}
}

func (l *loop) drain(messages []stream.Message) []stream.Message {
	for len(messages) < stream.ReadAhead {
		select {
		case m, open := <-l.reader.Messages():
			if !open { // found again by the next await
				return messages
			}
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

// ledgerTimeout bounds a call to the ledger, after which a dead connection is
// given up: more than the server lets a statement take, and a session to be made.
// A healthy ledger commits in milliseconds; one whose disk takes 3 s for a flush
// commits in six.
const ledgerTimeout = ledger.DefaultPatience + 5*time.Second

func (l *loop) commit(ctx context.Context, b *allocation.Batch) term.Event {
	crash.At("allocator/before-commit")
	defer crash.At("allocator/after-commit")
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	started := time.Now()
	err := l.ledger.Commit(ctx, l.lease.Sale, l.lease.Epoch, b)
	if err == nil {
		l.metrics.commits.Observe(time.Since(started).Seconds())
	}
	return term.Committed{Err: err}
}

// publish tells what is committed: first the cache, then the edges.
func (l *loop) publish(ctx context.Context, e term.Publish) term.Event {
	b := e.Batch
	l.metrics.committed(b)
	crash.At("allocator/before-learn")
	if err := l.learn(ctx, b); err != nil {
		l.log.Debug("facts not cached", "error", err)
	}
	crash.At("allocator/after-learn")
	crash.At("allocator/before-reply")
	err := l.out.send(b.Replies, l.stream.MaxMessage(), l.stream.Reply)
	l.warned.about(l.log, "decisions are not told: shoppers wait, and are told to ask again", err)
	crash.At("allocator/after-reply")
	return term.Published{}
}
