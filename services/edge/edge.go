package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/stream"
	"notsale/pkg/telemetry"
	"notsale/services/edge/shop"
)

// Edge is one HTTP front.
type Edge struct {
	cfg      Config
	identity identity
	ledger   *ledger.Ledger
	stream   *stream.Client
	health   *telemetry.Health
	log      *slog.Logger
	metrics  *metrics

	shop      *shop.Shop
	host      *host.Real // of the shop
	checkouts rates      // of checkouts
	purchases rates      // of purchases and of questions for their decisions
	reads     *reads

	draining atomic.Bool  // written by Stop
	open     atomic.Int64 // requests that have arrived and are not answered; written by each
	skew     atomic.Int64 // this clock minus NATS's, in ns; written by clocks
	clocks   clocks
	server   *http.Server
	listener net.Listener
}

// New returns an edge on open connections, which stay the caller's.
func New(cfg Config, keys *code.Keyring, l *ledger.Ledger, s *stream.Client, c *rejection.Cache,
	health *telemetry.Health, log *slog.Logger, reg prometheus.Registerer,
) (*Edge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	proxies, err := newProxies(cfg.TrustedProxies, log)
	if err != nil {
		return nil, err
	}
	e := &Edge{
		cfg: cfg, identity: identity{http.CanonicalHeaderKey(cfg.UserHeader), proxies}, ledger: l, stream: s, health: health, log: log, host: &host.Real{},
		checkouts: newRates(cfg, proxies), purchases: newRates(cfg, proxies), reads: newReads(),
		metrics: newMetrics(reg, func() float64 { return float64(c.Failures()) }),
	}
	if e.shop, err = shop.New(cfg.Config, keys, l, s, c, e.host, log, reg); err != nil {
		return nil, err
	}
	e.clocks = clocks{skewOf: e.skewOf}
	e.server = &http.Server{
		Handler: e.routes(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		// A handler bounds the body's part itself; this is for answers that
		// net/http gives without one.
		ReadTimeout:  headerTimeout + bodyTimeout,
		WriteTimeout: cfg.longestRequest() + readingTime, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true, // it reads bodies, and answers 200
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return e, nil
}

// UseKeys is shop.Shop's.
func (e *Edge) UseKeys(keys *code.Keyring) { e.shop.UseKeys(keys) }

// Listen opens the HTTP listener, so that an address in use is an error at
// start.
func (e *Edge) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", e.cfg.Listen)
	if err != nil {
		return fmt.Errorf("edge: %w: choose another address with --listen", err)
	}
	most := mostConnections
	if e.cfg.Connections > 0 {
		most = func() int { return e.cfg.Connections }
	}
	limited := newConnections(listener, most, e.server.SetKeepAlivesEnabled, e.log)
	e.listener, e.server.ConnState = limited, limited.changed
	return nil
}

// Address returns where the edge listens.
func (e *Edge) Address() string { return e.listener.Addr().String() }

// Run serves until ctx ends, then drains: not ready first, then no new
// connections, then the waiting purchases, then the queues.
func (e *Edge) Run(ctx context.Context) error {
	stop, err := e.stream.Replies(e.shop.ID(), e.shop.Receive)
	if err != nil {
		return err
	}
	defer stop()
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { e.stream.Rehearse(watching) })
	background.Go(func() { e.shop.Follow(watching) })
	background.Go(func() { e.watchClocks(watching) })
	defer e.host.Join()
	defer background.Wait()
	defer unwatch()
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(e.listener) }()
	select {
	case err := <-served:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("edge: serving: %w", err), e.server.Close(), e.shop.Close(ctx))
	case <-ctx.Done():
		return e.drain(context.WithoutCancel(ctx))
	}
}

func (e *Edge) drain(ctx context.Context) error {
	e.draining.Store(true)
	if e.cfg.Drain > 0 {
		time.Sleep(e.cfg.Drain)
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.StopTime()-e.cfg.Drain)
	defer cancel()
	return errors.Join(e.hangUp(ctx), e.shop.Close(ctx))
}

// quietTime is how long, at a stop, no request must be open before connections are
// closed: a request's last byte may not have reached its handler, or an answer not
// its client.
const quietTime = 500 * time.Millisecond

// hangUp takes no new connections and closes all others once every request that
// has arrived is answered. It does not wait for connections: some are idle, some
// sent half a request, and some clients do not read.
func (e *Edge) hangUp(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- e.server.Shutdown(ctx) }()
	look := time.NewTicker(quietTime / 20)
	defer look.Stop()
	for busy := time.Now(); time.Since(busy) < quietTime; {
		select {
		case err := <-closed: // no connection is left, or ctx has ended
			return errors.Join(err, e.server.Close())
		case <-look.C:
			if e.open.Load() > 0 {
				busy = time.Now()
			}
		}
	}
	return e.server.Close()
}
