package allocator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/allocator/term"
)

// Allocator holds the leases of a process and runs one loop per leased sale.
type Allocator struct {
	cfg     Config
	ledger  *ledger.Ledger
	stream  *stream.Client
	cache   *rejection.Cache
	log     *slog.Logger
	metrics *metrics

	tenancy *term.Tenancy     // owned by Run
	loops   map[sale.ID]*loop // owned by Run
	ended   chan *loop        // loops that gave up, to Run
	standby *standby
	wait    sync.WaitGroup
}

// New returns an allocator on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, c *rejection.Cache, log *slog.Logger, reg prometheus.Registerer) (*Allocator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Allocator{
		cfg: cfg, ledger: l, stream: s, cache: c, log: log, metrics: newMetrics(reg, func() float64 { return float64(c.Failures()) }),
		tenancy: term.NewTenancy(l, cfg.LeaseTTL, cfg.TakeAtOnce), loops: map[sale.ID]*loop{}, ended: make(chan *loop), standby: newStandby(l, log),
	}, nil
}

// retireTimeout bounds giving the leases back at the end.
const retireTimeout = 2 * time.Second

// Run takes, holds and gives back leases until ctx ends.
func (a *Allocator) Run(ctx context.Context) error {
	a.wait.Go(func() { a.standby.run(ctx) })
	tick := time.NewTicker(a.cfg.Renewal)
	defer tick.Stop()
	for warned := false; ; {
		err := a.turn(ctx)
		if err != nil && !warned && ctx.Err() == nil {
			a.log.Warn("leases are not renewed", "error", err)
		}
		warned = err != nil
		select {
		case <-ctx.Done():
			a.stopAll()
			retire, cancel := context.WithTimeout(context.WithoutCancel(ctx), retireTimeout)
			defer cancel()
			if err := a.ledger.Retire(retire); err != nil {
				a.log.Warn("leases stay until they expire", "error", err)
			}
			return nil
		case l := <-a.ended:
			a.drop(ctx, l)
		case <-tick.C:
		}
	}
}

// turn renews what is held, drops what was lost and takes what is free.
func (a *Allocator) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.LeaseTTL)
	defer cancel()
	if err := a.stream.Ping(ctx); err != nil {
		return err
	}
	lost, taken, err := a.tenancy.Turn(ctx, time.Now())
	for _, lease := range lost {
		a.log.Warn("lease lost", "sale", lease.Sale, "epoch", lease.Epoch)
		a.end(lease.Sale)
	}
	for _, lease := range taken {
		a.lead(lease)
	}
	return err
}

func (a *Allocator) lead(lease ledger.Lease) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &loop{Allocator: a, lease: lease, log: a.log.With("sale", lease.Sale, "epoch", lease.Epoch), cancel: cancel}
	a.loops[lease.Sale] = l
	a.metrics.takeovers.Inc()
	a.metrics.leading.Set(float64(len(a.loops)))
	warm := a.standby.hand(lease.Sale)
	a.wait.Go(func() {
		l.err = l.run(ctx, warm)
		if ctx.Err() != nil {
			return
		}
		l.log.Warn("the sale is given up", "error", l.err)
		select {
		case a.ended <- l:
		case <-ctx.Done():
		}
	})
}

// drop forgets a loop that ended by itself.
func (a *Allocator) drop(ctx context.Context, l *loop) {
	if a.loops[l.lease.Sale] != l {
		return
	}
	a.end(l.lease.Sale)
	ctx, cancel := context.WithTimeout(ctx, a.cfg.LeaseTTL)
	defer cancel()
	if err := a.tenancy.Ended(ctx, l.lease, l.err, time.Now()); err != nil {
		l.log.Warn("lease not given back", "error", err)
	}
}

func (a *Allocator) end(id sale.ID) {
	a.loops[id].cancel()
	delete(a.loops, id)
	a.standby.release(id)
	a.metrics.leading.Set(float64(len(a.loops)))
}

func (a *Allocator) stopAll() {
	for id := range a.loops {
		a.end(id)
	}
	a.wait.Wait()
}
