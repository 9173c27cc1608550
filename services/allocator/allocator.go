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
)

// Allocator holds the leases of a process and runs one term per leased sale.
type Allocator struct {
	cfg     Config
	ports   Ports
	host    host.Host
	log     *slog.Logger
	metrics *metrics

	leases   *leases    // owned by Hold
	inbox    host.Inbox // what Hold is told
	standby  *standby
	turns    host.Inbox   // a turn for each restore that may be under way
	attended atomic.Int64 // for how long Hold has looked after the terms, in nanoseconds; written by Hold
	nats     nats

	mu      sync.Mutex
	terms   map[sale.ID]*running // written by Hold only; guarded by mu
	renewed time.Time            // when the last renewal succeeded; guarded by mu
	renewal error                // of the last renewal; guarded by mu
}

// running is a term under way.
type running struct {
	*term

	cancel context.CancelCauseFunc
}

// restoresAtOnce is how many sales are restored from the ledger at a time: of a
// pool's four connections one is the standby's, and one is left for commits.
const restoresAtOnce = 2

// On returns an allocator on these ports.
func On(cfg Config, ports Ports, h host.Host, log *slog.Logger, reg prometheus.Registerer) (*Allocator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Allocator{
		cfg: cfg, ports: ports, host: h, log: log, metrics: newMetrics(reg), leases: newLeases(), inbox: h.Inbox(), turns: h.Inbox(),
		standby: newStandby(ports.Leases, ports.History, h, cfg.RestorePage, log),
		nats:    nats{heard: h.Now()}, terms: map[sale.ID]*running{}, renewed: h.Now(),
	}
	for range restoresAtOnce {
		a.turns.Put(nil)
	}
	return a, nil
}

// lead begins the term of a lease.
func (a *Allocator) lead(lease ledger.Lease) {
	ctx, cancel := a.host.WithCancel(context.Background())
	r := &running{a.newTerm(lease), cancel}
	a.mu.Lock()
	a.terms[lease.Sale] = r
	a.metrics.leading.Set(float64(len(a.terms)))
	a.mu.Unlock()
	a.metrics.takeovers.Inc()
	a.host.Go(func() {
		r.engine = a.standby.hand(lease.Sale)
		defer a.standby.release(lease.Sale)
		why := r.run(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.Warn("the sale is given up", "error", why)
		a.inbox.Put(ended{r, why})
	})
}

// end ends the term of a sale.
func (a *Allocator) end(id sale.ID, why error) {
	a.mu.Lock()
	r := a.terms[id]
	delete(a.terms, id)
	a.metrics.leading.Set(float64(len(a.terms)))
	a.mu.Unlock()
	if r != nil {
		r.cancel(why)
	}
}

// endAll ends all terms.
func (a *Allocator) endAll() {
	for _, r := range a.running() {
		r.cancel(nil)
	}
}

// running are the terms of now, by sale.
func (a *Allocator) running() []*running {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*running, 0, len(a.terms))
	for _, id := range slices.Sorted(maps.Keys(a.terms)) {
		list = append(list, a.terms[id])
	}
	return list
}

// Ready reports why a sale that this allocator has is not being decided, or why
// it can hold none.
func (a *Allocator) Ready(context.Context) error {
	now := a.host.Now()
	a.mu.Lock()
	since, err := a.renewed, a.renewal
	a.mu.Unlock()
	var errs []error
	if silent := now.Sub(since); silent > troubleAfter {
		errs = append(errs, fmt.Errorf("leases have not been renewed for %v: %w", silent.Round(time.Second), errors.Join(err, a.nats.deaf(now))))
	}
	for _, r := range a.running() {
		if err := r.progress.trouble(now); err != nil {
			errs = append(errs, fmt.Errorf("sale %d is not decided: %w", r.lease.Sale, err))
		}
	}
	return errors.Join(errs...)
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
