package allocator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// loop carries out what a term says, during one lease.
type loop struct {
	*Allocator
	lease  ledger.Lease
	log    *slog.Logger
	cancel context.CancelFunc
	reader *stream.Reader // owned by run
	out    replies
	err    error // why run returned; written before the loop is sent to ended
}

// run decides the sale until ctx ends or the term does.
func (l *loop) run(ctx context.Context, warm *allocation.Engine) error {
	defer l.closeReader()
	t := newTerm(l.lease, l.cfg.BatchRequests, warm)
	for next := effect(readLedger{}); ctx.Err() == nil; {
		if end, ok := next.(stop); ok {
			if errors.Is(end.why, ledger.ErrFenced) && t.batch != nil {
				l.metrics.fenced.Inc()
			}
			return end.why
		}
		next = t.step(l.perform(ctx, next))
	}
	return ctx.Err()
}

// perform carries out one effect and returns what it led to.
func (l *loop) perform(ctx context.Context, e effect) event {
	switch e := e.(type) {
	case readLedger:
		return l.readLedger(ctx)
	case readStream:
		return l.readStream(ctx, e.sequence)
	case compare:
		return l.compare(ctx, e.sequence)
	case openHole:
		ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
		defer cancel()
		return holeOpened{l.ledger.OpenGeneration(ctx, l.lease.Sale, l.lease.Epoch, &e.hole)}
	case openReader:
		l.closeReader()
		var err error
		l.reader, err = l.stream.Read(ctx, l.lease.Sale, e.from)
		return readerOpened{err}
	case await:
		return l.await(ctx, e.patience)
	case peek:
		info, err := l.stream.Info(ctx, l.lease.Sale)
		return peeked{info, err}
	case restore:
		return l.restore(ctx, e)
	case commit:
		return l.commit(ctx, e.batch)
	case publish:
		return l.publish(ctx, e)
	case pause:
		l.metrics.restarts.Inc()
		l.log.Warn("something failed, going on after a pause", "error", e.err, "pause", e.length)
		sleep(ctx, e.length)
		return resumed{}
	case alarm:
		l.metrics.alarms.WithLabelValues(e.kind).Inc()
		l.log.Error("ALARM", "kind", e.kind, "error", e.err)
		return resumed{}
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

func (l *loop) readLedger(ctx context.Context) event {
	l.closeReader()
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	pos, err := l.ledger.Cursor(ctx, l.lease.Sale)
	if err != nil {
		return ledgerRead{err: err}
	}
	row, err := l.ledger.Sale(ctx, l.lease.Sale)
	return ledgerRead{row.Sale, pos, err}
}

func (l *loop) readStream(ctx context.Context, sequence uint64) event {
	var r streamRead
	if r.opening, r.err = l.stream.Opening(ctx, l.lease.Sale); r.err != nil {
		return r
	}
	if r.info, r.err = l.stream.Info(ctx, l.lease.Sale); r.err != nil {
		return r
	}
	if r.info.Last >= sequence {
		r.message, r.err = l.stream.Message(ctx, l.lease.Sale, sequence)
	}
	return r
}

func (l *loop) compare(ctx context.Context, sequence uint64) event {
	m, err := l.stream.Message(ctx, l.lease.Sale, sequence)
	if errors.Is(err, stream.ErrLost) {
		return compared{}
	}
	if err != nil {
		return compared{err: err}
	}
	mark := markOf(&m)
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	same, err := l.ledger.Applied(ctx, l.lease.Sale, sequence, mark)
	return compared{same, mark, err}
}

// await waits for a message and takes those behind it, without waiting more.
func (l *loop) await(ctx context.Context, patience time.Duration) event {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return readerFailed{ctx.Err()}
	case <-timer.C:
		return quiet{}
	case m, open := <-l.reader.Messages():
		if !open {
			return readerFailed{l.reader.Err()}
		}
		return arrived{l.drain([]stream.Message{m})}
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

// Timeouts of the ledger, after which a dead connection is given up. A healthy
// ledger commits in milliseconds and recovers a million decisions in seconds.
const (
	ledgerTimeout  = 5 * time.Second
	recoverTimeout = time.Minute
)

// maxExpected bounds the memory that recovery asks for ahead of reading.
const maxExpected = 1 << 20

func (l *loop) restore(ctx context.Context, e restore) event {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	if e.engine != nil {
		after := e.engine.Cursor().Position
		err := e.engine.Extend(e.to, l.ledger.Decisions(ctx, l.lease.Sale, after, e.to.Position))
		return restored{e.engine, err}
	}
	engine, err := restoreEngine(ctx, l.ledger, e.of, e.to)
	return restored{engine, err}
}

func restoreEngine(ctx context.Context, from *ledger.Ledger, of sale.Sale, to allocation.Cursor) (*allocation.Engine, error) {
	return allocation.Restore(of, to, from.Decisions(ctx, of.ID, 0, to.Position), int(min(to.Position, maxExpected)))
}

func (l *loop) commit(ctx context.Context, b *allocation.Batch) event {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	started := time.Now()
	err := l.ledger.Commit(ctx, l.lease.Sale, l.lease.Epoch, b)
	if err == nil {
		l.metrics.commits.Observe(time.Since(started).Seconds())
	}
	return committed{err}
}

// publish tells what is committed: first the cache, then the edges.
func (l *loop) publish(ctx context.Context, e publish) event {
	b := e.batch
	l.metrics.committed(b)
	if err := l.cache.Learn(ctx, e.of, &b.Facts); err != nil {
		l.log.Debug("facts not cached", "error", err)
	}
	l.out.send(b.Replies, l.stream.Reply, l.log)
	return published{}
}
