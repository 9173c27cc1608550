package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/pack"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/telemetry"
	"notsale/pkg/wire"
)

// Edge is one HTTP front.
type Edge struct {
	cfg      Config
	identity identity
	id       string // with a random boot id: no other process ever has it
	ledger   *ledger.Ledger
	stream   *stream.Client
	health   *telemetry.Health
	log      *slog.Logger
	metrics  *metrics
	now      func() time.Time

	keys      atomic.Pointer[code.Keyring] // written by UseKeys
	directory *directory
	misses    *pack.Queue[miss] // by codes
	strays    *pack.Queue[miss] // by items
	gate      *gate
	records   *records
	memory    *memory
	flights   *flights
	waiters   *waiters
	checkouts rates     // of checkouts
	purchases rates     // of purchases and of questions for their decisions
	buffers   sync.Pool // of *[]byte: messages being published
	reads     *reads
	lanes     sync.Map // sale.ID → *lane

	read   atomic.Bool // all sales have been read from the ledger once; written by list
	listed atomic.Bool // the directory has been read once; written by watch

	unwatched atomic.Pointer[error] // why the directory was not watched, the last time that it was not; written by watch
	draining  atomic.Bool           // written by Stop
	open      atomic.Int64          // requests that have arrived and are not answered; written by each
	skew      atomic.Int64          // this clock minus NATS's, in ns; written by clocks
	clocks    clocks
	server    *http.Server
	listener  net.Listener
}

// lane is the way into one sale's streams: one pack in flight in each.
type lane struct {
	requests *pack.Queue[allocation.Request]
	attempts *pack.Queue[wire.Attempt]
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
	var boot [8]byte
	if _, err := rand.Read(boot[:]); err != nil {
		return nil, fmt.Errorf("edge: boot id: %w", err)
	}
	e := &Edge{
		cfg: cfg, identity: identity{http.CanonicalHeaderKey(cfg.UserHeader), proxies}, id: "edge-" + hex.EncodeToString(boot[:]), ledger: l, stream: s, health: health, log: log, now: time.Now,
		directory: newDirectory(), gate: newGate(c), records: newRecords(l, log, cfg.PurchaseWait),
		memory: newMemory(), flights: newFlights(cfg.Waiting), waiters: newWaiters(cfg.Waiting),
		checkouts: newRates(cfg, proxies), purchases: newRates(cfg, proxies), reads: newReads(),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
	e.keys.Store(keys)
	e.clocks = clocks{skewOf: e.skewOf}
	e.misses, e.strays = pack.New(missLimits, e.refresh), pack.New(missLimits, e.refresh)
	e.metrics = newMetrics(reg, gauges{
		waiting: func() float64 { return float64(e.waiters.count()) }, sales: func() float64 { return float64(e.directory.size()) },
		cacheFailures: func() float64 { return float64(c.Failures()) },
	})
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

// missLimits: a miss is a look into the ledger, whose answer serves all. A flood
// of ids that there are none of waits for itself: one statement at a time.
var missLimits = pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: readTimeout}

// UseKeys makes the edge sign and verify with this ring from now on. It must
// have every key of the one before: codes of them are under way.
func (e *Edge) UseKeys(keys *code.Keyring) { e.keys.Store(keys) }

// lane returns the way into a sale's streams; 0 is for attempts of no sale.
func (e *Edge) lane(id sale.ID) *lane {
	if l, ok := e.lanes.Load(id); ok {
		return l.(*lane) //nolint:forcetypeassert // nothing else is stored
	}
	attemptLimits, requestLimits := pack.DefaultLimits(), pack.DefaultLimits()
	attemptLimits.Patience, requestLimits.Patience = e.cfg.CheckoutWait, e.cfg.PurchaseWait
	if most := e.stream.MaxMessage(); most > 0 { // 0: it was never connected
		attemptLimits.Bytes, requestLimits.Bytes = min(attemptLimits.Bytes, most), min(requestLimits.Bytes, most)
	}
	l, _ := e.lanes.LoadOrStore(id, &lane{
		requests: pack.New(requestLimits, func(ctx context.Context, items []allocation.Request) error {
			if !e.waiters.any(items) {
				return errNobodyWaits
			}
			e.metrics.packs.Observe(float64(len(items)))
			return e.published(func(buf []byte) []byte { return wire.AppendPack(buf, e.id, items) },
				func(data []byte) error { return e.stream.PublishPack(ctx, id, data) })
		}),
		attempts: pack.New(attemptLimits, func(ctx context.Context, items []wire.Attempt) error {
			return e.published(func(buf []byte) []byte { return wire.AppendAttempts(buf, e.id, items) },
				func(data []byte) error { return e.stream.PublishAttempts(ctx, id, data) })
		}),
	})
	return l.(*lane) //nolint:forcetypeassert // nothing else is stored
}

// errNobodyWaits says that every request of a pack was answered before it was sent,
// or sent again: by its decision, or because its wait was over. Whoever still wants
// an answer comes again.
var errNobodyWaits = fmt.Errorf("edge: nobody waits for this pack: %w", pack.ErrUnwanted)

// published encodes a message, publishes it, and tells the queue what the
// stream's adapter says. The memory is shared by all lanes: those of old sales
// hold none.
func (e *Edge) published(encode func([]byte) []byte, publish func([]byte) error) error {
	buffer := e.buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is stored
	*buffer = encode((*buffer)[:0])
	err := publish(*buffer)
	if err == nil {
		e.buffers.Put(buffer) // else it may still be read
		return nil
	}
	e.metrics.retried.Inc()
	if errors.Is(err, stream.ErrAmbiguous) {
		return fmt.Errorf("%w: %w", pack.ErrAmbiguous, err)
	}
	return err
}

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
	stop, err := e.stream.Replies(e.id, e.receive)
	if err != nil {
		return err
	}
	defer stop()
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { e.stream.Rehearse(watching) })
	background.Go(func() { e.list(watching) })
	background.Go(func() { e.watch(watching) })
	background.Go(func() { e.watchClocks(watching) })
	defer background.Wait()
	defer unwatch()
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(e.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("edge: serving: %w", err)
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
	errs := []error{e.hangUp(ctx)}
	e.lanes.Range(func(_, value any) bool {
		l := value.(*lane) //nolint:forcetypeassert // nothing else is stored
		errs = append(errs, l.requests.Close(ctx), l.attempts.Close(ctx))
		return true
	})
	errs = append(errs, e.gate.queue.Close(ctx), e.records.close(ctx), e.misses.Close(ctx), e.strays.Close(ctx))
	return errors.Join(errs...)
}

// lastWords is how long, at a stop, a request may take from its last byte to its
// handler, and an answer from there to the client.
const lastWords = 500 * time.Millisecond

// hangUp takes no new connections and closes all others, once every request
// that has arrived is answered. It waits for requests, not for connections: on
// some nothing comes, or half a request, or nobody reads.
func (e *Edge) hangUp(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- e.server.Shutdown(ctx) }()
	look := time.NewTicker(lastWords / 20)
	defer look.Stop()
	for busy := time.Now(); time.Since(busy) < lastWords; {
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

// receive hands a message of replies to the waiters.
func (e *Edge) receive(data []byte) {
	replies, err := wire.DecodeReplies(data)
	if err != nil {
		e.log.Warn("unreadable replies", "error", err)
		return
	}
	e.memory.decided(replies)
	e.waiters.deliver(replies)
}
