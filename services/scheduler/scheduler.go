package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Pace of the scheduler.
const (
	retryPause  = time.Second      // between two looks, at most
	recentSales = 100              // sales looked at each time
	fullRepair  = 30 * time.Second // between two looks at all sales
	pageSize    = 1000
	turnTimeout = time.Minute // for opening one sale, and for one look of the keeper
	// repairTimeout is for one look at the sales that are there. What it does not
	// get done the next one does, from where it was.
	repairTimeout = time.Minute
	unsoldTimeout = time.Minute // for one look at the streams of no sale
	// putsAtOnce bounds the entries of the directory that are written at once: with
	// NATS 300 ms away some 25 a second.
	putsAtOnce = 16
)

// Scheduler opens sales.
type Scheduler struct {
	cfg    Config
	ledger Books
	stream Streams
	log    *slog.Logger
	now    func() time.Time
	sales  prometheus.Counter
	failed prometheus.Counter
	alarms alarms
	keeper *keeper // of the streams' sizes; nil: none

	claimed chan struct{} // closed once NATS's store is known to be ours
	claim   func()        // closes it

	// Of whoever opens the slot's sale.
	directory Directory // nil: to be looked for, or made
	opened    uint64    // how often it was
	skewed    bool      // the clocks differed at the last look
	openUntil time.Time // by now: until then the slot's sale is known to be open, or this scheduler began
	late      bool      // people were told that it is not
	left      []sale.ID // streams that could not be read when it was

	mu    sync.Mutex
	seen  view  // guarded by mu; written by whoever opens, read by whoever repairs
	known known // guarded by mu

	// Of whoever repairs.
	listed   map[sale.ID]wire.Entry // what the directory has; nil: to be read
	listedIn uint64                 // of which directory, as view.opened counts them
	repaired time.Time              // by now: when all sales were last looked at, or the first failure came
	failures int                    // looks at all sales in a row that failed, or what made the first necessary
	told     map[sale.ID]bool       // sales of unknown rules or dated ahead, of which people were told
	unread   []sale.ID              // streams without a sale that could not be read
	adoptAt  time.Time              // by now: when they are tried again
	toldOf   bool                   // people were told that this lasts
	unsold   unsold
	atOnce   int // entries of the directory that are written at once
}

// view is what the last look for the slot's sale has found out.
type view struct {
	directory Directory // nil: nothing yet
	opened    uint64    // counts the directories that were looked for or made
	clock     time.Time // NATS's
	skewed    bool      // the clocks differ
	unread    []sale.ID // of streams that could not be read then
}

// On returns a scheduler on any books and streams.
func On(cfg Config, l Books, s Streams, log *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sc := &Scheduler{
		cfg: cfg, ledger: l, stream: s, log: log, told: map[sale.ID]bool{}, atOnce: 1, now: time.Now, known: known{refused: map[sale.ID]bool{}, lacking: true},
		sales:  prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_sales_opened_total", Help: "Sales opened by this scheduler."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_failures_total", Help: "Runs that could not finish."}),
		alarms: newAlarms(log),
	}
	sc.claimed = make(chan struct{})
	sc.claim = sync.OnceFunc(func() { close(sc.claimed) })
	reg.MustRegister(sc.sales, sc.failed, sc.alarms.raised)
	return sc, nil
}

// Run opens a sale in every slot, and beside that repairs what is there and keeps
// the streams' sizes, until ctx ends. Neither makes the next sale wait.
func (s *Scheduler) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.loop(ctx, "the sale cannot be opened, trying on", s.openSlot, s.pause)
	})
	group.Go(func() error {
		return s.onceClaimed(ctx, func() error {
			return s.loop(ctx, "sales cannot be repaired, trying on", s.tend, func(context.Context) time.Duration { return retryPause })
		})
	})
	if s.keeper != nil {
		group.Go(func() error {
			return s.onceClaimed(ctx, func() error { return s.keeper.run(ctx) })
		})
	}
	return group.Wait()
}

// onceClaimed runs a loop as soon as NATS's store is known to be ours.
func (s *Scheduler) onceClaimed(ctx context.Context, loop func() error) error {
	select {
	case <-s.claimed:
		return loop()
	case <-ctx.Done():
		return nil
	}
}

// loop takes a step again and again, until ctx ends or the streams are foreign.
func (s *Scheduler) loop(ctx context.Context, failure string, step func(context.Context) error, pause func(context.Context) time.Duration) error {
	for failing := false; ; {
		err := step(ctx)
		if errors.Is(err, stream.ErrForeign) {
			s.alarms.raise("foreign-stream", "error", err, "do", "this scheduler ends: nothing that time could heal, and nothing may be sold")
			return err
		}
		if err != nil && ctx.Err() == nil {
			s.failed.Inc()
			if !failing {
				s.log.Error(failure, "error", err)
			}
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause(ctx)):
		}
	}
}

// pause is the time to the next slot, at most retryPause.
func (s *Scheduler) pause(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, retryPause)
	defer cancel()
	next, err := s.ledger.NextSlot(ctx, s.cfg.Every)
	if err != nil || next <= 0 {
		return retryPause
	}
	return min(next, retryPause)
}

// Turn opens the current slot's sale, if it is not yet open, and then finishes
// what an earlier turn, of any scheduler, has left: a step of each of Run's loops.
func (s *Scheduler) Turn(ctx context.Context) error {
	err := s.openSlot(ctx)
	return errors.Join(err, s.tend(ctx))
}
