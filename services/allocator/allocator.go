package allocator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Allocator holds the leases of a process and runs one loop per leased sale.
type Allocator struct {
	cfg     Config
	ledger  *ledger.Ledger
	stream  *stream.Client
	cache   *rejection.Cache
	log     *slog.Logger
	metrics *metrics

	loops   map[sale.ID]*loop     // owned by Run
	resting map[sale.ID]time.Time // sales given up, and until when; owned by Run
	ended   chan *loop            // loops that gave up, to Run
	standby *standby
	wait    sync.WaitGroup
}

// New returns an allocator on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, c *rejection.Cache, log *slog.Logger, reg prometheus.Registerer) (*Allocator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Allocator{
		cfg: cfg, ledger: l, stream: s, cache: c, log: log, metrics: newMetrics(reg),
		loops: map[sale.ID]*loop{}, resting: map[sale.ID]time.Time{}, ended: make(chan *loop), standby: newStandby(l, log),
	}, nil
}

// retireTimeout bounds giving the leases back at the end.
const retireTimeout = 2 * time.Second

// restAfterGivingUp is how long a sale that cannot be decided is left alone.
const restAfterGivingUp = 10 * time.Second

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

// turn renews what is held, drops what was lost and takes what is free. Leases
// are renewed only while NATS answers too: an allocator that cannot read must
// not keep others from it.
func (a *Allocator) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.LeaseTTL)
	defer cancel()
	if err := a.stream.Ping(ctx); err != nil {
		return err
	}
	held, err := a.ledger.Renew(ctx, a.cfg.LeaseTTL)
	if err != nil {
		return err
	}
	epochs := make(map[sale.ID]int64, len(held))
	for _, lease := range held {
		epochs[lease.Sale] = lease.Epoch
	}
	keep := make([]sale.ID, 0, len(a.loops))
	for id, l := range a.loops {
		if epochs[id] != l.lease.Epoch {
			a.log.Warn("lease lost", "sale", id, "epoch", l.lease.Epoch)
			a.end(l)
			continue
		}
		keep = append(keep, id)
	}
	for id, until := range a.resting {
		if time.Now().Before(until) {
			keep = append(keep, id)
		} else {
			delete(a.resting, id)
		}
	}
	taken, err := a.ledger.Take(ctx, keep, a.cfg.TakeAtOnce)
	if err != nil {
		return err
	}
	for _, lease := range taken {
		a.lead(lease)
	}
	return nil
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

// drop forgets a loop that ended by itself, so that its sale can be taken
// again. One that cannot be decided here is given back and left alone for a
// while, so that another allocator, perhaps a newer one, may try.
func (a *Allocator) drop(ctx context.Context, l *loop) {
	if a.loops[l.lease.Sale] != l {
		return
	}
	a.end(l)
	if !errors.Is(l.err, errGiveUp) {
		return
	}
	a.resting[l.lease.Sale] = time.Now().Add(restAfterGivingUp)
	if err := a.ledger.Release(ctx, l.lease); err != nil {
		l.log.Warn("lease not given back", "error", err)
	}
}

func (a *Allocator) end(l *loop) {
	l.cancel()
	delete(a.loops, l.lease.Sale)
	a.standby.release(l.lease.Sale)
	a.metrics.leading.Set(float64(len(a.loops)))
}

func (a *Allocator) stopAll() {
	for _, l := range a.loops {
		a.end(l)
	}
	a.wait.Wait()
}
