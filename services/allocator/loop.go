package allocator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Pauses between two starts of a sale's loop.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// loop decides one sale during one lease. Its engine is touched by run only.
type loop struct {
	*Allocator
	lease  ledger.Lease
	log    *slog.Logger
	cancel context.CancelFunc
	engine *allocation.Engine
	reader *stream.Reader
	out    replies
	err    error // why run returned; written before the loop is sent to ended
}

// errStop is wrapped by errors after which starting over is of no use.
var errStop = errors.New("the sale cannot be decided")

// run decides until ctx ends, the lease is lost or something needs a person.
func (l *loop) run(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		started := time.Now()
		err := l.decide(ctx)
		if ctx.Err() != nil || errors.Is(err, ledger.ErrFenced) || errors.Is(err, errStop) {
			return err
		}
		l.metrics.restarts.Inc()
		l.log.Warn("starting over from the ledger", "error", err)
		if time.Since(started) > lastPause {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// decide recovers the sale and decides its requests until something fails.
func (l *loop) decide(ctx context.Context) error {
	if err := l.recover(ctx); err != nil {
		return err
	}
	defer l.reader.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, open := <-l.reader.Messages():
			if !open {
				return l.reader.Err()
			}
			if err := l.batch(ctx, m); err != nil {
				return err
			}
		}
	}
}

// batch decides the message and all that wait behind it, up to the batch's
// size, then carries out what follows, in order: commit, cache, replies.
func (l *loop) batch(ctx context.Context, first stream.Message) error {
	b := l.engine.Begin()
	for m, more := first, true; more; m, more = l.waiting(b) {
		if err := l.apply(m, b); err != nil {
			return err
		}
	}
	started := time.Now()
	if err := l.ledger.Commit(ctx, l.lease.Sale, l.lease.Epoch, b); err != nil {
		if errors.Is(err, ledger.ErrFenced) {
			l.metrics.fenced.Inc()
		}
		return err
	}
	committed := time.Now()
	l.measure(b, first, started, committed)
	if err := l.cache.Learn(ctx, l.engine.Sale().UUID, &b.Facts); err != nil {
		l.log.Debug("facts not cached", "error", err)
	}
	l.out.send(b.Replies, l.stream.Reply, l.log)
	return nil
}

// waiting returns the next message if it is there already and fits the batch.
func (l *loop) waiting(b *allocation.Batch) (stream.Message, bool) {
	if b.After.Position-b.Before.Position >= int64(l.cfg.BatchRequests) {
		return stream.Message{}, false
	}
	select {
	case m, open := <-l.reader.Messages():
		return m, open
	default:
		return stream.Message{}, false
	}
}

// apply decides one message. A message that is no pack counts as one
// unreadable request; one of a newer version is not decided.
func (l *loop) apply(m stream.Message, b *allocation.Batch) error {
	edge, requests, err := wire.DecodePack(m.Data)
	if errors.Is(err, wire.ErrVersion) {
		return errors.Join(errStop, l.alarm("newer-version", err))
	}
	if err != nil {
		l.log.Warn("unreadable message in the stream", "sequence", m.Sequence, "error", err)
		edge, requests = "", []allocation.Request{{}}
	}
	l.engine.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: edge, Requests: requests}, b)
	return nil
}

func (l *loop) measure(b *allocation.Batch, first stream.Message, started, committed time.Time) {
	counts := map[allocation.Reason]int{}
	for i := range b.Decisions {
		counts[b.Decisions[i].Reason]++
	}
	for reason, n := range counts {
		l.metrics.decisions.WithLabelValues(reason.String()).Add(float64(n))
	}
	l.metrics.batches.Observe(float64(b.After.Position - b.Before.Position))
	l.metrics.commits.Observe(committed.Sub(started).Seconds())
	l.metrics.latency.Observe(committed.Sub(first.Time.Time()).Seconds())
}
