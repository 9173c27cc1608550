package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Config says how a recorder works.
type Config struct {
	// BatchAttempts ends a batch; more rows in one statement gain nothing.
	BatchAttempts int
}

// DefaultConfig suits any size of sale.
func DefaultConfig() Config { return Config{BatchAttempts: 2000} }

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	if c.BatchAttempts < 1 {
		return errors.New("recorder: batch size must be positive")
	}
	return nil
}

// retryPause is the pause before a stream is opened again after an error.
const retryPause = 500 * time.Millisecond

// storeTimeout is when a dead connection to the ledger is given up.
const storeTimeout = 10 * time.Second

// Recorder runs one loop per stream of attempts.
type Recorder struct {
	cfg    Config
	ledger *ledger.Ledger
	stream *stream.Client
	log    *slog.Logger

	recorded, repeated, unreadable, alarms, failures prometheus.Counter
	batches                                          prometheus.Histogram

	marks marks
	wait  sync.WaitGroup
	mu    sync.Mutex
	runs  map[sale.ID]context.CancelFunc // ends the loop of a stream; guarded by mu
}

// New returns a recorder on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_recorder_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	r := &Recorder{
		cfg: cfg, ledger: l, stream: s, log: log, runs: map[sale.ID]context.CancelFunc{}, marks: marks{open: map[sale.ID]*mark{}},
		recorded:   counter("attempts_recorded_total", "Checkout attempts stored."),
		repeated:   counter("attempts_repeated_total", "Checkout attempts that were stored already."),
		unreadable: counter("messages_unreadable_total", "Messages passed over because they cannot be read."),
		alarms:     counter("alarms_total", "Messages of a newer version, left for a newer recorder."),
		failures:   counter("failures_total", "Times that a stream's loop started over."),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notsale_recorder_batch_attempts", Help: "Attempts per commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 13),
		}),
	}
	reg.MustRegister(r.batches)
	return r, nil
}

// Run records until ctx ends: the attempts of no sale, and those of every sale
// that the directory lists, until it is archived.
func (r *Recorder) Run(ctx context.Context) error {
	defer r.wait.Wait()
	r.wait.Go(func() { r.keepMarks(ctx) })
	r.follow(ctx, 0)
	for {
		directory, err := r.stream.Directory(ctx)
		if err == nil {
			err = directory.Watch(ctx, func(e wire.Entry) { r.learn(ctx, e) }, func() {})
		}
		if ctx.Err() != nil {
			return nil
		}
		r.log.Warn("the directory of sales cannot be watched, trying on", "error", err)
		pause(ctx)
	}
}

// learn takes what the directory says of a sale.
func (r *Recorder) learn(ctx context.Context, e wire.Entry) {
	if e.State == sale.Archived { // only once all is recorded
		r.leave(e.Sale.ID)
		return
	}
	r.follow(ctx, e.Sale.ID)
}

// leave ends the loop of a stream that is gone, or will be at once.
func (r *Recorder) leave(id sale.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end := r.runs[id]; end != nil {
		end()
		delete(r.runs, id)
	}
}

// follow starts the loop of a stream, once.
func (r *Recorder) follow(ctx context.Context, id sale.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[id] != nil {
		return
	}
	ctx, r.runs[id] = context.WithCancel(ctx)
	r.wait.Go(func() { r.loop(ctx, id) })
}

func (r *Recorder) loop(ctx context.Context, id sale.ID) {
	for warned := false; ctx.Err() == nil; {
		err := r.record(ctx, id)
		pause(ctx)
		if ctx.Err() != nil { // also where a stream was gone before the word that its sale is archived
			return
		}
		r.failures.Inc()
		if !warned && !errors.Is(err, stream.ErrLost) { // a scheduler may be about to make it
			r.log.Warn("attempts are not recorded, trying on", "sale", id, "error", err)
			warned = true
		}
	}
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}

// record reads a stream and stores batches until something fails.
func (r *Recorder) record(ctx context.Context, id sale.ID) error {
	reader, err := r.stream.ReadAttempts(ctx, id)
	if err != nil {
		return err
	}
	one, err := r.again(ctx, id, reader)
	if err != nil {
		reader.Stop()
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	one.restart = cancel
	r.marks.put(id, one)
	defer r.marks.drop(id)
	messages := make(chan stream.AttemptMessage, r.cfg.BatchAttempts)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(messages)
		for {
			m, err := reader.Next(ctx)
			if err != nil {
				cancel(err)
				return
			}
			messages <- m
		}
	})
	defer func() {
		cancel(nil)
		reader.Stop()
		for range messages { //nolint:revive // drained, so that the reading goroutine can end
		}
		reading.Wait()
	}()
	for m := range messages {
		if err := r.store(ctx, id, r.batch(m, messages)); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
	return context.Cause(ctx)
}

// batch is messages and the attempts in them.
type batch struct {
	messages []stream.AttemptMessage
	attempts []ledger.RecordedAttempt
}

// batch takes the message and those that wait behind it.
func (r *Recorder) batch(first stream.AttemptMessage, rest <-chan stream.AttemptMessage) batch {
	var b batch
	r.add(&b, first)
	for len(b.attempts) < r.cfg.BatchAttempts {
		select {
		case m, open := <-rest:
			if !open {
				return b
			}
			r.add(&b, m)
		default:
			return b
		}
	}
	return b
}

func (r *Recorder) add(b *batch, m stream.AttemptMessage) {
	edge, attempts, err := wire.DecodeAttempts(m.Data)
	switch {
	case errors.Is(err, wire.ErrVersion):
		r.alarms.Inc()
		r.log.Error("ALARM: attempts of a newer version, upgrade this recorder", "error", err)
		return
	case err != nil:
		r.unreadable.Inc()
		r.log.Error("attempts that cannot be read are passed over", "error", err)
	}
	b.messages = append(b.messages, m)
	b.take(edge, attempts)
}

func (b *batch) take(edge string, attempts []wire.Attempt) {
	for i := range attempts {
		b.attempts = append(b.attempts, ledger.RecordedAttempt{Attempt: attempts[i], Edge: edge})
	}
}

// store commits the attempts and only then acknowledges their messages.
func (r *Recorder) store(ctx context.Context, id sale.ID, b batch) error {
	if len(b.attempts) > 0 {
		crash.At("recorder/before-insert")
		stored, err := r.insert(ctx, b.attempts)
		if err != nil {
			return err
		}
		crash.At("recorder/after-insert")
		r.repeated.Add(float64(int64(len(b.attempts)) - stored))
		r.batches.Observe(float64(len(b.attempts)))
		r.marks.touch(id)
	}
	for i := range b.messages {
		crash.At("recorder/before-ack")
		if err := b.messages[i].Ack(); err != nil {
			return fmt.Errorf("recorder: acknowledging: %w", err)
		}
		crash.At("recorder/after-ack")
	}
	return nil
}

// insert commits attempts, and returns how many were new.
func (r *Recorder) insert(ctx context.Context, attempts []ledger.RecordedAttempt) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	stored, err := r.ledger.InsertAttempts(ctx, attempts)
	if err == nil {
		r.recorded.Add(float64(stored))
	}
	return stored, err
}
