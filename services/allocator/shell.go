package allocator

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/follow"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Process is an allocator on goroutines and real servers. Its caller closes the
// connections.
type Process struct {
	*Allocator

	host   *host.Real
	ledger *ledger.Ledger
	log    *slog.Logger
}

// New returns an allocator's process.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, c *rejection.Cache, log *slog.Logger, reg prometheus.Registerer) (*Process, error) {
	p := &Process{host: &host.Real{}, ledger: l, log: log}
	var err error
	p.Allocator, err = On(cfg, Ports{Leases: l, History: l, Commits: l, Streams: streams{s}, News: s, Cache: c, Edges: s}, p.host, log, reg)
	if err != nil {
		return nil, err
	}
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "notsale_allocator_cache_failures_total", Help: "Calls to the rejection cache that failed.",
	}, func() float64 { return float64(c.Failures()) }))
	return p, nil
}

// streams are a client's streams.
type streams struct{ *stream.Client }

// Of implements Streams.
func (s streams) Of(id sale.ID) follow.Stream { return follow.Requests(s.Client, id) }

// stopTimeout bounds the end of the loops, retireTimeout giving the leases back
// after it. What is still blocked then is abandoned.
const (
	stopTimeout   = 2 * time.Second
	retireTimeout = 2 * time.Second
)

// Run takes, holds and gives back leases until ctx ends. It returns soon after
// that, even if something is blocked.
func (p *Process) Run(ctx context.Context) error {
	holding := make(chan struct{})
	go func() {
		defer close(holding)
		p.Hold(ctx)
	}()
	<-ctx.Done()
	await(holding, stopTimeout)
	for _, t := range p.running() {
		t.cancel(nil)
	}
	running := make(chan struct{})
	go func() {
		defer close(running)
		p.host.Join()
	}()
	await(running, stopTimeout)
	retire, cancel := context.WithTimeout(context.WithoutCancel(ctx), retireTimeout)
	defer cancel()
	if err := p.ledger.Retire(retire); err != nil {
		p.log.Warn("leases stay until they expire", "error", err)
	}
	return nil
}

func await(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}
