package allocator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Timeouts of the calls about leases, after which a dead connection is given up.
// They are independent of the length of a lease: a slow ledger still lets an
// allocator lead, and what a late answer would have said, the next renewal says.
const (
	renewTimeout = 5 * time.Second
	takeTimeout  = 30 * time.Second // up to eight round trips, a wait for the cursor's row, and a commit
)

// restoresAtOnce is how many sales are restored from the ledger at a time: of a
// pool's four connections the standby uses one, and one stays free for commits.
const restoresAtOnce = 2

// Allocator holds the leases of a process and runs one term per leased sale. It
// makes one renewal at a time, and beside it one takeover, however long that takes.
type Allocator struct {
	cfg     Config
	ports   Ports
	host    host.Host
	log     *slog.Logger
	metrics *metrics

	inbox    host.Inbox   // messages to Hold
	turns    host.Inbox   // one token for each restore that may run
	attended atomic.Int64 // for how long Hold has watched the terms, in nanoseconds; written by Hold
	standby  *standby
	nats     nats

	// Owned by Hold.
	leases   *leases
	renewing bool // a renewal is under way
	taking   bool // a takeover is under way
	free     bool // there may be a free sale that the takeover under way does not see
	alive    bool // the last renewal succeeded
	warned   warnOnce

	mu      sync.Mutex
	terms   map[sale.ID]*term // under way; written by Hold only; guarded by mu
	renewed time.Time         // when the last renewal succeeded; guarded by mu
	failure error             // of the last renewal; guarded by mu
}

// On returns an allocator on these ports.
func On(cfg Config, ports Ports, h host.Host, log *slog.Logger, reg prometheus.Registerer) (*Allocator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Allocator{
		cfg: cfg, ports: ports, host: h, log: log, metrics: newMetrics(reg), leases: newLeases(), inbox: h.Inbox(), turns: h.Inbox(),
		standby: newStandby(ports.Leases, ports.History, h, cfg.RestorePage, log),
		nats:    nats{heard: h.Now()}, terms: map[sale.ID]*term{}, renewed: h.Now(),
	}
	for range restoresAtOnce {
		a.turns.Put(nil)
	}
	return a, nil
}

// Messages to Hold.
type (
	// renewal is the answer to one renewal.
	renewal struct {
		held   map[sale.ID]ledger.Lease // when it began
		leases []ledger.Lease
		err    error
	}
	// takeover is the answer to one takeover.
	takeover struct {
		leases []ledger.Lease
		err    error
	}
	// ended says that a term has stopped by itself, and why.
	ended struct {
		*term

		why error
	}
	released struct{ sale sale.ID } // the attempt to give its lease back is over
	news     struct{}               // there may be a free sale
)

// Hold takes, renews and gives back leases until ctx ends. It blocks only on its
// inbox, and it renews only as long as it runs itself and gives up terms that
// hang: a lease says that its sale makes progress.
func (a *Allocator) Hold(ctx context.Context) {
	a.host.Go(func() { a.standby.run(ctx) })
	a.host.Go(func() { a.pingNATS(ctx) })
	stop, err := a.ports.News.Changed(func() { a.inbox.Put(news{}) })
	if err != nil {
		a.log.Warn("new sales are led a little later", "error", err)
	} else {
		defer stop()
	}
	a.turn(ctx)
	for last := a.host.Now(); ctx.Err() == nil; {
		message, ok := a.inbox.Take(ctx, last.Add(a.cfg.Renewal).Sub(a.host.Now()))
		if ok {
			a.handle(ctx, message)
		}
		if now := a.host.Now(); ctx.Err() == nil && now.Sub(last) >= a.cfg.Renewal {
			a.attended.Add(int64(min(now.Sub(last), 2*a.cfg.Renewal))) // a stop of the whole process does not count
			last = now
			a.endStalled(ctx)
			a.warnOfLateRestores(now)
			a.turn(ctx)
		}
	}
}

func (a *Allocator) handle(ctx context.Context, message any) {
	switch x := message.(type) {
	case renewal:
		a.onRenewal(ctx, x)
	case takeover:
		a.onTakeover(ctx, x)
	case ended:
		a.finish(ctx, x.term, x.why)
	case released:
		a.leases.released(x.sale)
	case news:
		a.free = true
		a.takeFree(ctx)
	}
}

// turn starts a renewal, and a takeover of free sales, unless one is under way.
// While NATS is away it does nothing: an allocator that cannot read a stream must
// not keep others from its sale.
func (a *Allocator) turn(ctx context.Context) {
	err := a.nats.away(a.host.Now())
	a.warned.about(a.log, "leases are not renewed while NATS is away", err)
	if err != nil {
		return
	}
	if !a.renewing {
		a.renewing = true
		held := a.leases.all()
		a.host.Go(func() { a.renew(ctx, held) })
	}
	a.takeFree(ctx)
}

func (a *Allocator) renew(ctx context.Context, held map[sale.ID]ledger.Lease) {
	ctx, cancel := a.host.WithTimeout(ctx, renewTimeout)
	defer cancel()
	leases, err := a.ports.Leases.Renew(ctx, a.cfg.LeaseTTL)
	a.inbox.Put(renewal{held, leases, err})
}

// onRenewal ends the terms of lost leases and starts those of leases that this
// allocator has without knowing it. After the first success it may take free sales.
func (a *Allocator) onRenewal(ctx context.Context, r renewal) {
	wasAlive := a.alive
	a.renewing, a.alive = false, r.err == nil
	a.warned.about(a.log, "leases are not renewed", r.err)
	now := a.host.Now()
	a.mu.Lock()
	if a.failure = r.err; r.err == nil {
		a.renewed = now
	}
	a.mu.Unlock()
	if r.err != nil {
		return
	}
	lost, adopted := a.leases.renewed(r.held, r.leases, now)
	for _, lease := range lost {
		a.end(lease.Sale, ledger.ErrFenced)
		a.log.Warn("lease lost", "sale", lease.Sale, "epoch", lease.Epoch)
	}
	for _, lease := range adopted {
		a.lead(lease)
	}
	if !wasAlive {
		a.takeFree(ctx)
	}
}

// takeFree starts a takeover of free sales, unless one is under way.
func (a *Allocator) takeFree(ctx context.Context) {
	if !a.alive || a.taking {
		return
	}
	a.taking, a.free = true, false
	skip := a.leases.skip(a.host.Now())
	a.host.Go(func() { a.take(ctx, skip) })
}

func (a *Allocator) take(ctx context.Context, skip []sale.ID) {
	ctx, cancel := a.host.WithTimeout(ctx, takeTimeout)
	defer cancel()
	leases, err := a.ports.Leases.Take(ctx, a.cfg.LeaseTTL, skip, a.cfg.TakeAtOnce)
	a.inbox.Put(takeover{leases, err})
}

func (a *Allocator) onTakeover(ctx context.Context, t takeover) {
	a.taking = false
	a.warned.about(a.log, "free sales are not taken", t.err)
	for _, lease := range a.leases.taken(t.leases) {
		a.lead(lease)
	}
	if a.free && t.err == nil {
		a.takeFree(ctx)
	}
}

// lead starts the term of a lease, with the engine that the standby has of the sale.
func (a *Allocator) lead(lease ledger.Lease) {
	t := a.newTerm(lease)
	ctx, cancel := a.host.WithCancel(context.Background())
	t.cancel = cancel
	a.mu.Lock()
	a.terms[lease.Sale] = t
	a.metrics.leading.Set(float64(len(a.terms)))
	a.mu.Unlock()
	a.metrics.takeovers.Inc()
	a.host.Go(func() {
		t.engine = a.standby.hand(lease.Sale)
		defer a.standby.release(lease.Sale)
		why := t.run(ctx)
		if ctx.Err() != nil {
			return
		}
		t.log.Warn("the sale is given up", "error", why)
		a.inbox.Put(ended{t, why})
	})
}

// end ends the term of a sale.
func (a *Allocator) end(id sale.ID, why error) {
	a.mu.Lock()
	t := a.terms[id]
	delete(a.terms, id)
	a.metrics.leading.Set(float64(len(a.terms)))
	a.mu.Unlock()
	if t != nil {
		t.cancel(why)
	}
}

// running returns the terms under way, by sale.
func (a *Allocator) running() []*term {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*term, 0, len(a.terms))
	for _, id := range slices.Sorted(maps.Keys(a.terms)) {
		list = append(list, a.terms[id])
	}
	return list
}

// endStalled gives up the sales whose terms make no progress, whatever blocks
// them. A term that comes back later finds its context ended.
func (a *Allocator) endStalled(ctx context.Context) {
	for _, t := range a.running() {
		if err := t.progress.stalled(a.attended.Load()); err != nil {
			a.metrics.alarms.WithLabelValues("stalled").Inc()
			a.finish(ctx, t, err)
		}
	}
}

// warnOfLateRestores warns once of each restore that takes long. It does not wait
// for the log.
func (a *Allocator) warnOfLateRestores(now time.Time) {
	for _, t := range a.running() {
		if err := t.progress.late(now); err != nil {
			a.host.Go(func() { t.log.Warn("the sale is not decided yet, shoppers wait", "error", err) })
		}
	}
}

// finish ends a term, unless it has ended before, and gives its lease back.
func (a *Allocator) finish(ctx context.Context, t *term, why error) {
	if a.terms[t.lease.Sale] != t {
		return
	}
	a.end(t.lease.Sale, why)
	if a.leases.ended(t.lease, why, a.host.Now()) {
		a.host.Go(func() { a.giveBack(ctx, t, why) })
	}
}

func (a *Allocator) giveBack(ctx context.Context, t *term, why error) {
	ctx, cancel := a.host.WithTimeout(context.WithoutCancel(ctx), ledgerTimeout)
	defer cancel()
	err := a.ports.Leases.Release(ctx, t.lease)
	a.inbox.Put(released{t.lease.Sale})
	if errors.Is(why, errStalled) {
		t.log.Error("ALARM", "kind", "stalled", "error", why)
	}
	if err != nil {
		t.log.Warn("lease not given back", "error", err)
	}
}

// Ready reports which sale of this allocator is not being decided and why, or why
// it can hold no lease.
func (a *Allocator) Ready(context.Context) error {
	now := a.host.Now()
	a.mu.Lock()
	since, err := a.renewed, a.failure
	a.mu.Unlock()
	var errs []error
	if silent := now.Sub(since); silent > troubleAfter {
		errs = append(errs, fmt.Errorf("leases have not been renewed for %v: %w", silent.Round(time.Second), errors.Join(err, a.nats.away(now))))
	}
	for _, t := range a.running() {
		if err := t.progress.trouble(now); err != nil {
			errs = append(errs, fmt.Errorf("sale %d is not decided: %w", t.lease.Sale, err))
		}
	}
	return errors.Join(errs...)
}

// natsPatience is how long after its last answer NATS counts as away.
const natsPatience = time.Second

// nats is what is known of NATS.
type nats struct {
	mu    sync.Mutex
	heard time.Time // when it answered last; guarded by mu
	err   error     // of the last ping; guarded by mu
}

func (a *Allocator) pingNATS(ctx context.Context) {
	for ctx.Err() == nil {
		ping, cancel := a.host.WithTimeout(ctx, natsPatience)
		err := a.ports.News.Ping(ping)
		cancel()
		a.nats.answered(a.host.Now(), err)
		a.host.Wait(ctx, a.cfg.Renewal)
	}
}

func (n *nats) answered(now time.Time, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err = err; err == nil {
		n.heard = now
	}
}

// away returns why NATS counts as away, or nil.
func (n *nats) away(now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.heard) <= natsPatience {
		return nil
	}
	if n.err != nil {
		return n.err
	}
	return fmt.Errorf("%w: no answer for %v", stream.ErrUnavailable, natsPatience)
}

// warnOnce logs a failure of each kind when it begins, and not again before a
// success.
type warnOnce struct{ failing map[string]bool }

func (w *warnOnce) about(log *slog.Logger, what string, err error) {
	if w.failing == nil {
		w.failing = map[string]bool{}
	}
	if err != nil && !w.failing[what] && !errors.Is(err, context.Canceled) {
		log.Warn(what, "error", err)
	}
	w.failing[what] = err != nil
}
