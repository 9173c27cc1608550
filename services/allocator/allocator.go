package allocator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
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

	tenancy  *term.Tenancy // owned by hold
	registry *registry
	ended    chan *loop // loops that gave up, to hold
	standby  *standby
	restores chan struct{} // a place for each restore under way
	wait     sync.WaitGroup
	attended atomic.Int64 // for how long hold has looked after the loops, in nanoseconds; written by hold

	mu      sync.Mutex
	loops   map[sale.ID]*loop // written by hold only; guarded by mu
	renewed time.Time         // when the last renewal succeeded; guarded by mu
	renewal error             // of the last renewal; guarded by mu
}

// restoresAtOnce is how many sales are restored from the ledger at a time: of a
// pool's four connections one is the standby's, and one is left for commits.
const restoresAtOnce = 2

// New returns an allocator on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, c *rejection.Cache, log *slog.Logger, reg prometheus.Registerer) (*Allocator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Allocator{
		cfg: cfg, ledger: l, stream: s, cache: c, log: log, metrics: newMetrics(reg, func() float64 { return float64(c.Failures()) }),
		tenancy: term.NewTenancy(), registry: newRegistry(cfg, l, s), ended: make(chan *loop),
		standby: newStandby(l, cfg.RestorePage, log), restores: make(chan struct{}, restoresAtOnce),
		loops: map[sale.ID]*loop{}, renewed: time.Now(),
	}, nil
}

// stopTimeout bounds the end of the loops, retireTimeout giving the leases back
// after it. What is blocked by then is left behind.
const (
	stopTimeout   = 2 * time.Second
	retireTimeout = 2 * time.Second
)

// Run takes, holds and gives back leases until ctx ends. It returns soon after
// that, whatever is blocked.
func (a *Allocator) Run(ctx context.Context) error {
	held := make(chan struct{})
	go func() {
		defer close(held)
		a.hold(ctx)
	}()
	<-ctx.Done()
	await(held, stopTimeout)
	for _, l := range a.running() {
		l.cancel(nil)
	}
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		a.wait.Wait()
	}()
	await(idle, stopTimeout)
	retire, cancel := context.WithTimeout(context.WithoutCancel(ctx), retireTimeout)
	defer cancel()
	if err := a.ledger.Retire(retire); err != nil {
		a.log.Warn("leases stay until they expire", "error", err)
	}
	return nil
}

func await(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// hold looks after the leases until ctx ends. It waits for nothing but news: a
// renewal is made only while it, and the loops, make progress.
func (a *Allocator) hold(ctx context.Context) {
	a.wait.Go(func() { a.standby.run(ctx) })
	a.wait.Go(func() { a.registry.listen(ctx) })
	if stop, err := a.stream.Changed(a.registry.tell); err != nil {
		a.log.Warn("new sales are led a little later", "error", err)
	} else {
		defer stop()
	}
	tick := time.NewTicker(a.cfg.Renewal)
	defer tick.Stop()
	var warned warnOnce
	turn := func() {
		warned.about(a.log, "leases are not renewed while NATS is away", a.registry.turn(ctx, &a.wait, a.tenancy))
	}
	turn()
	for looked := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case l := <-a.ended:
			a.finish(ctx, l, l.err)
		case r := <-a.registry.renewals:
			a.onRenewal(r)
			warned.about(a.log, "leases are not renewed", r.err)
		case t := <-a.registry.takeovers:
			a.onTakeover(t)
			warned.about(a.log, "free sales are not taken", t.err)
		case id := <-a.registry.left:
			a.tenancy.Left(id)
		case now := <-tick.C:
			a.attended.Add(int64(min(now.Sub(looked), 2*a.cfg.Renewal))) // not while the whole process stood still
			looked = now
			a.endStalled(ctx)
			a.tellLate(now)
			turn()
		case <-a.registry.heardOf():
			a.registry.seek(ctx, &a.wait, a.tenancy)
		}
	}
}

// warnOnce warns of the first of each kind of failure, until there is none.
type warnOnce struct{ of map[string]bool }

func (w *warnOnce) about(log *slog.Logger, what string, err error) {
	if w.of == nil {
		w.of = map[string]bool{}
	}
	if err != nil && !w.of[what] && !errors.Is(err, context.Canceled) {
		log.Warn(what, "error", err)
	}
	w.of[what] = err != nil
}

// onRenewal ends the loops of leases that were lost and starts those of leases
// that were taken without our knowing.
func (a *Allocator) onRenewal(r renewal) {
	a.registry.onRenewal(r)
	a.mu.Lock()
	if a.renewal = r.err; r.err == nil {
		a.renewed = time.Now()
	}
	a.mu.Unlock()
	if r.err != nil {
		return
	}
	lost, adopted := a.tenancy.Renewed(r.held, r.leases, time.Now())
	for _, lease := range lost {
		a.end(lease.Sale, ledger.ErrFenced)
		a.log.Warn("lease lost", "sale", lease.Sale, "epoch", lease.Epoch)
	}
	for _, lease := range adopted {
		a.lead(lease)
	}
}

func (a *Allocator) onTakeover(t takeover) {
	a.registry.onTakeover()
	for _, lease := range a.tenancy.Taken(t.leases) {
		a.lead(lease)
	}
}

func (a *Allocator) lead(lease ledger.Lease) {
	ctx, cancel := context.WithCancelCause(context.Background())
	l := &loop{Allocator: a, lease: lease, log: a.log.With("sale", lease.Sale, "epoch", lease.Epoch), cancel: cancel}
	a.mu.Lock()
	a.loops[lease.Sale] = l
	a.mu.Unlock()
	a.metrics.takeovers.Inc()
	a.metrics.leading.Set(float64(len(a.loops)))
	l.progress.begin(term.ReadLedger{}, a.attended.Load()) // it is looked after from now on
	a.wait.Go(func() {
		warm := a.standby.hand(lease.Sale)
		defer a.standby.release(lease.Sale)
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

// endStalled gives up the sales whose loops make no progress. Whatever they are
// blocked in: if they ever come back, they find that they have ended.
func (a *Allocator) endStalled(ctx context.Context) {
	for _, l := range a.running() {
		if err := l.progress.stalled(a.attended.Load()); err != nil {
			a.metrics.alarms.WithLabelValues("stalled").Inc()
			a.finish(ctx, l, err)
		}
	}
}

// tellLate says of each takeover that takes long how far it is, once. It does not
// wait for the log.
func (a *Allocator) tellLate(now time.Time) {
	for _, l := range a.running() {
		if err := l.progress.late(now); err != nil {
			a.wait.Go(func() { l.log.Warn("the sale is not decided yet, shoppers wait", "error", err) })
		}
	}
}

// finish forgets a loop that ended by itself, or is to, and gives its lease back.
func (a *Allocator) finish(ctx context.Context, l *loop, why error) {
	if a.loops[l.lease.Sale] != l {
		return
	}
	a.end(l.lease.Sale, why)
	if a.tenancy.Ended(l.lease, why, time.Now()) {
		a.wait.Go(func() { a.registry.giveBack(ctx, l.lease, why, l.log) })
	}
}

func (a *Allocator) end(id sale.ID, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.loops[id]; l != nil {
		l.cancel(why)
		delete(a.loops, id)
		a.metrics.leading.Set(float64(len(a.loops)))
	}
}

// running are the loops of now.
func (a *Allocator) running() map[sale.ID]*loop {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.loops)
}

// Ready reports why a sale that this allocator has is not being decided, or why
// it can hold none.
func (a *Allocator) Ready(context.Context) error {
	now := time.Now()
	a.mu.Lock()
	since, err := a.renewed, a.renewal
	a.mu.Unlock()
	var errs []error
	if silent := now.Sub(since); silent > troubleAfter {
		errs = append(errs, fmt.Errorf("leases have not been renewed for %v: %w", silent.Round(time.Second), errors.Join(err, a.registry.deaf())))
	}
	for id, l := range a.running() {
		if err := l.progress.trouble(now); err != nil {
			errs = append(errs, fmt.Errorf("sale %d is not decided: %w", id, err))
		}
	}
	return errors.Join(errs...)
}
