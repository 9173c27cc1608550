package shop

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/pack"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Config says how long a shop waits, and for how many.
type Config struct {
	// CodeTTL is how long a code can be used to buy, by the stream's clock.
	CodeTTL time.Duration
	// PurchaseWait is how long a purchase waits for its decision before it is
	// answered 202, or 503 if it is not even known to be queued.
	PurchaseWait time.Duration
	// CheckoutWait is how long a checkout waits for its attempt to be stored: by
	// default longer than two acknowledgements of a NATS whose flushes take 3 s,
	// that of the pack before its own and of its own.
	CheckoutWait time.Duration
	// Waiting is the most purchases that may wait at once; each holds a
	// connection and about 10 kB.
	Waiting int
}

// DefaultConfig is the design's.
func DefaultConfig() Config {
	return Config{CodeTTL: time.Hour, PurchaseWait: 5 * time.Second, CheckoutWait: 7 * time.Second, Waiting: 16_384}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.CodeTTL < time.Second:
		return fmt.Errorf("--code-ttl %v: want at least 1s", c.CodeTTL)
	case c.PurchaseWait < 10*time.Millisecond || c.PurchaseWait > time.Minute:
		return fmt.Errorf("--purchase-wait %v: want 10ms to 1m", c.PurchaseWait)
	case c.CheckoutWait <= 0 || c.Waiting < 1:
		return errors.New("edge: waits and limits must be positive")
	}
	return nil
}

// Longest is how long a checkout or purchase takes at most: its wait for its attempt
// to be stored, or for a decision, its sale, a look at the ledger before and after,
// and a second for the cache.
func (c Config) Longest() time.Duration {
	return max(c.PurchaseWait, c.CheckoutWait) + ReadTimeout + 2*lookPatience + cacheLimits.Patience
}

// ReadTimeout bounds a read of the ledger that somebody waits for.
const ReadTimeout = 3 * time.Second

// Shop gives codes for items and sells items for codes. Safe for any number of
// callers.
type Shop struct {
	cfg     Config
	id      string // with a random part: no other process ever has it
	ports   Ports
	host    host.Host
	log     *slog.Logger
	metrics metrics

	keys       atomic.Pointer[code.Keyring] // written by UseKeys
	sales      *directory
	memory     *memory
	flights    *flights
	waiters    *waiters
	cache      *pack.Queue[*cacheQuestion]
	rows       *lookups              // of the ledger, by their keys
	limits     *lookups              // and users at their limit
	decided    *lookups              // rows of codes that were seen to be decided
	codes      *pack.Queue[miss]     // of sales that the directory does not have
	items      *pack.Queue[miss]     // likewise
	publishers sync.Map              // sale.ID → *publisher
	buffers    sync.Pool             // of *[]byte: messages being published
	closed     atomic.Bool           // written by Close
	read       atomic.Bool           // all sales have been read from the ledger once; written by list
	listed     atomic.Bool           // the directory has been read once; written by watch
	unwatched  atomic.Pointer[error] // why the directory was not watched, the last time that it was not; written by watch
}

type metrics struct {
	packs   prometheus.Histogram
	retried prometheus.Counter
}

// On returns a shop on these ports.
func On(cfg Config, keys *code.Keyring, ports Ports, h host.Host, log *slog.Logger, reg prometheus.Registerer) (*Shop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var boot [8]byte
	if _, err := io.ReadFull(ports.Random, boot[:]); err != nil {
		return nil, fmt.Errorf("edge: boot id: %w", err)
	}
	s := &Shop{
		cfg: cfg, id: "edge-" + hex.EncodeToString(boot[:]), ports: ports, host: h, log: log,
		sales: newDirectory(), memory: newMemory(), flights: newFlights(h, cfg.Waiting), waiters: newWaiters(cfg.Waiting),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		metrics: metrics{
			packs: prometheus.NewHistogram(prometheus.HistogramOpts{
				Name: "notsale_edge_pack_requests", Help: "Purchase requests per pack.", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
			}),
			retried: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_edge_publish_failures_total", Help: "Publishes that failed or stayed unknown."}),
		},
	}
	s.keys.Store(keys)
	s.cache = pack.New(h, cacheLimits, s.askCache)
	s.rows, s.limits = s.newLookups(false, ReadTimeout), s.newLookups(true, ReadTimeout)
	s.decided = s.newLookups(false, decidedPatience(cfg.PurchaseWait))
	s.codes, s.items = pack.New(h, missLimits, s.readMissed), pack.New(h, missLimits, s.readMissed)
	reg.MustRegister(s.metrics.packs, s.metrics.retried,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "notsale_edge_waiting", Help: "Purchases that wait for their decision."}, func() float64 { return float64(s.waiters.count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "notsale_edge_sales", Help: "Sales in this edge's directory."}, func() float64 { return float64(s.sales.size()) }))
	return s, nil
}

// ID names this shop in what it publishes; replies come to it.
func (s *Shop) ID() string { return s.id }

// UseKeys makes the shop sign and verify with this ring from now on. It must
// have every key of the one before: codes of them are under way.
func (s *Shop) UseKeys(keys *code.Keyring) { s.keys.Store(keys) }

// Receive takes a message of replies, which are to be of commits.
func (s *Shop) Receive(data []byte) {
	replies, err := wire.DecodeReplies(data)
	if err != nil {
		s.log.Warn("unreadable replies", "error", err)
		return
	}
	for i := range replies {
		s.memory.decided(replies[i].Code)
	}
	s.waiters.deliver(replies)
}

// Close waits, at most until ctx ends, until everything that is queued is sent. What
// comes then or afterwards is refused.
func (s *Shop) Close(ctx context.Context) error {
	s.closed.Store(true)
	var errs []error
	s.publishers.Range(func(_, value any) bool {
		p := value.(*publisher) //nolint:forcetypeassert // nothing else is stored
		errs = append(errs, p.requests.Close(ctx), p.attempts.Close(ctx))
		return true
	})
	errs = append(errs, s.cache.Close(ctx), s.rows.queue.Close(ctx), s.limits.queue.Close(ctx), s.decided.queue.Close(ctx),
		s.codes.Close(ctx), s.items.Close(ctx))
	return errors.Join(errs...)
}

// soldOut reports whether the sale has been seen to be sold out; the ledger says
// whether it is.
func (s *Shop) soldOut(of *sale.Sale) bool {
	return s.sales.soldOut(of.ID) || s.memory.soldOut(of.UUID)
}
