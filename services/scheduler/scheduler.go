package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Pauses and limits of the scheduler.
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
	ports  Ports
	host   host.Host
	log    *slog.Logger
	sales  prometheus.Counter
	failed prometheus.Counter
	alarms alarms
	keeper *keeper // of the streams' sizes

	// What both find out who open sales and who repair them.
	seen    atomic.Pointer[view] // written by whoever opens; nil: it is not known yet that the store is ours
	lacking atomic.Bool          // the ledger may lack a sale that was opened
	refused sync.Map             // sale.ID: those with another's stream, of which people were told

	// Of whoever opens the slot's sale.
	claimed   func()    // begins what waits until the store is known to be ours
	directory Directory // nil: to be looked for, or made
	opened    uint64    // how often it was
	newest    sale.ID   // the highest number that a sale is known to have
	skewed    bool      // the clocks differed at the last look
	openUntil time.Time // until then the slot's sale is known to be open, or this scheduler began
	late      bool      // people were told that it is not
	left      []sale.ID // streams that could not be read when the directory was opened

	// Of whoever repairs.
	listed   map[sale.ID]wire.Entry // what the directory has; nil: to be read
	listedIn uint64                 // of which directory, as view.opened counts them
	repaired time.Time              // when all sales were last looked at, or the first failure came
	failures int                    // looks at all sales in a row that failed, or what made the first necessary
	told     map[sale.ID]bool       // sales of unknown rules or dated ahead, of which people were told
	unread   []sale.ID              // streams without a sale that could not be read
	adoptAt  time.Time              // when they are tried again
	toldOf   bool                   // people were told that this lasts
	unsold   unsold
}

// view is what the last look for the slot's sale has found out.
type view struct {
	directory Listing
	opened    uint64    // counts the directories that were looked for or made
	clock     time.Time // NATS's
	skewed    bool      // the clocks differ
	unread    []sale.ID // of streams that could not be read then
}

// On returns a scheduler on these ports.
func On(cfg Config, ports Ports, h host.Host, log *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Scheduler{
		cfg: cfg, ports: ports, host: h, log: log, claimed: func() {}, told: map[sale.ID]bool{},
		sales:  prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_sales_opened_total", Help: "Sales opened by this scheduler."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_failures_total", Help: "Runs that could not finish."}),
		alarms: newAlarms(log),
	}
	s.keeper = newKeeper(cfg, ports, h, log, s.alarms)
	reg.MustRegister(s.sales, s.failed, s.alarms.raised, s.keeper.reserved)
	return s, nil
}

// Schedule opens a sale in every slot, repairs other sales, and keeps the streams'
// sizes, until ctx ends or the streams are foreign. None of these waits for another,
// once it is known that NATS's store is ours.
func (s *Scheduler) Schedule(ctx context.Context) error {
	running, end := s.host.WithCancel(ctx)
	ended, begun := s.host.Inbox(), 0
	begin := func(loop func()) {
		begun++
		s.host.Go(func() {
			defer ended.Put(nil)
			loop()
		})
	}
	s.claimed = sync.OnceFunc(func() {
		begin(func() {
			end(s.loop(running, "sales cannot be repaired, trying on", s.tend, func(context.Context) time.Duration { return retryPause }))
		})
		begin(func() { s.keeper.keep(running) })
	})
	end(s.loop(running, "the sale cannot be opened, trying on", s.openSlot, s.pause))
	for range begun {
		ended.Take(context.WithoutCancel(ctx), host.Forever)
	}
	if err := context.Cause(running); errors.Is(err, stream.ErrForeign) {
		return err
	}
	return nil
}

// loop takes a step again and again, until ctx ends or the streams are foreign.
func (s *Scheduler) loop(ctx context.Context, failure string, step func(context.Context) error, pause func(context.Context) time.Duration) error {
	for failing := false; ctx.Err() == nil; s.host.Wait(ctx, pause(ctx)) {
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
	}
	return nil
}
