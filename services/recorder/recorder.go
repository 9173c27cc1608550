package recorder

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/sale"
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

// Pauses of a recorder.
const (
	// retryPause is the pause before a stream is opened again after an error.
	retryPause = 500 * time.Millisecond
	// yieldPause leaves a stream to the recorder that was quicker, so that two
	// do not do all the work twice.
	yieldPause = time.Second
	// newerPause is the pause before a message of a newer version is looked at
	// again: a newer recorder may have taken it.
	newerPause = 5 * time.Second
	// partsPause is how often new streams of no sale are looked for.
	partsPause = time.Second
)

// storeTimeout is when a dead connection to the ledger is given up.
const storeTimeout = 10 * time.Second

// Bounds of a recorder.
const (
	// maxTurns is how many streams are opened and caught up with at once: after an
	// upgrade a thousand readers would hold many messages each.
	maxTurns = 4
	// lasting is how many failures in a row, each after retryPause, raise an alarm
	// where only a person can help.
	lasting = 10
	// verdictTime is how long a scheduler may need to say that a part which is not
	// there was removed: twice what it takes at most.
	verdictTime = time.Minute
)

// Recorder runs one loop per stream of attempts.
type Recorder struct {
	cfg   Config
	ports Ports
	host  host.Host
	log   *slog.Logger

	recorded, repeated, unreadable, alarms, failures prometheus.Counter
	batches                                          prometheus.Histogram

	turns host.Inbox // a turn for each stream that may be caught up with

	mu   sync.Mutex
	runs map[wire.AttemptStream]context.CancelCauseFunc // ends the loop of a stream; guarded by mu
}

// On returns a recorder on these ports.
func On(cfg Config, ports Ports, h host.Host, log *slog.Logger, reg prometheus.Registerer) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_recorder_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	r := &Recorder{
		cfg: cfg, ports: ports, host: h, log: log, turns: h.Inbox(), runs: map[wire.AttemptStream]context.CancelCauseFunc{},
		recorded:   counter("attempts_recorded_total", "Checkout attempts stored."),
		repeated:   counter("attempts_repeated_total", "Checkout attempts that were stored already."),
		unreadable: counter("messages_unreadable_total", "Messages passed over because they cannot be read."),
		alarms:     counter("alarms_total", "Findings that need a person: a message of a newer version, a stream that is lost or has lost its tail, a ledger that refuses what is to be recorded."),
		failures:   counter("failures_total", "Times that a stream's loop started over after a failure."),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notsale_recorder_batch_attempts", Help: "Attempts per commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 13),
		}),
	}
	for range maxTurns {
		r.turns.Put(nil)
	}
	reg.MustRegister(r.batches, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "notsale_recorder_streams", Help: "Streams of attempts that are followed."}, r.following))
	return r, nil
}

// Record records until ctx ends: the attempts of no sale, and those of every sale
// that the directory lists, until it is archived.
func (r *Recorder) Record(ctx context.Context) {
	r.host.Go(func() { r.followUnsold(ctx) })
	for {
		err := r.ports.Streams.Watch(ctx, func(e wire.Entry) { r.learn(ctx, e) })
		if ctx.Err() != nil {
			return
		}
		r.log.Warn("the directory of sales cannot be watched, trying on", "error", err)
		r.host.Wait(ctx, retryPause)
	}
}

// learn takes what the directory says of a sale.
func (r *Recorder) learn(ctx context.Context, e wire.Entry) {
	of := wire.AttemptStream{Sale: e.Sale.ID}
	if e.State == sale.Archived { // only once all is recorded
		r.leave(of)
		return
	}
	r.follow(ctx, of)
}

// followUnsold follows the streams of no sale: those that are there, and those
// that ought to be by the ledger.
func (r *Recorder) followUnsold(ctx context.Context) {
	for warned := false; ctx.Err() == nil; r.host.Wait(ctx, partsPause) {
		parts, err := r.ports.Streams.UnsoldParts(ctx)
		for _, part := range parts {
			r.follow(ctx, wire.AttemptStream{Part: part})
		}
		if err == nil {
			err = r.followKnown(ctx)
		}
		if err != nil && !warned && ctx.Err() == nil {
			r.log.Warn("new streams of no sale are not looked for, trying on", "error", err)
		}
		warned = err != nil
	}
}

func (r *Recorder) followKnown(ctx context.Context) error {
	ctxRead, cancel := r.host.WithTimeout(ctx, storeTimeout)
	defer cancel()
	known, err := r.ports.Known.UnsoldParts(ctxRead)
	for _, k := range known {
		if of := (wire.AttemptStream{Part: k.Part}); k.Removed {
			r.leave(of)
		} else {
			r.follow(ctx, of)
		}
	}
	return err
}

func (r *Recorder) following() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return float64(len(r.runs))
}

// leave ends the loop of a stream that is gone, or will be at once.
func (r *Recorder) leave(of wire.AttemptStream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end := r.runs[of]; end != nil {
		end(nil)
		delete(r.runs, of)
	}
}

// follow starts the loop of a stream, once.
func (r *Recorder) follow(ctx context.Context, of wire.AttemptStream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[of] != nil {
		return
	}
	ctx, r.runs[of] = r.host.WithCancel(ctx)
	r.host.Go(func() { (&loop{Recorder: r, of: of, stream: r.ports.Streams.Of(of)}).run(ctx) })
}
