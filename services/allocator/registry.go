package allocator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/allocator/term"
)

// Timeouts of the calls about leases, after which a dead connection is given up.
// They have nothing to do with the length of a lease: a ledger that is slow is
// led nevertheless, and what an answer that came late would have said is learned
// from the next renewal.
const (
	renewTimeout = 5 * time.Second
	takeTimeout  = 30 * time.Second // of up to eight round trips, a wait for the cursor's row, and a commit
)

// natsPatience is for how long after NATS's last answer leases are still
// renewed: an allocator that cannot read must not keep others from it.
const natsPatience = time.Second

// registry asks the ledger about leases: one renewal at a time, and beside it
// one takeover, however long that takes.
type registry struct {
	cfg    Config
	ledger *ledger.Ledger
	stream *stream.Client

	renewals  chan renewal
	takeovers chan takeover
	left      chan sale.ID
	news      chan struct{} // there may be a free sale
	renewing  bool          // a renewal is under way; owned by hold, as what follows
	taking    bool          // a takeover is under way
	alive     bool          // the last renewal succeeded

	mu    sync.Mutex
	heard time.Time // when NATS answered last; guarded by mu
	nats  error     // of the last question; guarded by mu
}

// onRenewal notes that a renewal has ended. After the first that succeeds free
// sales may be taken.
func (r *registry) onRenewal(answer renewal) {
	was := r.alive
	if r.renewing, r.alive = false, answer.err == nil; r.alive && !was {
		r.tell()
	}
}

// onTakeover notes that a takeover has ended.
func (r *registry) onTakeover() { r.taking = false }

// tell says that there may be a free sale.
func (r *registry) tell() {
	select {
	case r.news <- struct{}{}:
	default: // it is said already
	}
}

// heardOf receives such news while it can be heeded.
func (r *registry) heardOf() <-chan struct{} {
	if r.taking {
		return nil
	}
	return r.news
}

// renewal is the answer to one renewal.
type renewal struct {
	held   map[sale.ID]ledger.Lease // when it began
	leases []ledger.Lease
	err    error
}

// takeover is the answer to one takeover.
type takeover struct {
	leases []ledger.Lease
	err    error
}

func newRegistry(cfg Config, l *ledger.Ledger, s *stream.Client) *registry {
	return &registry{
		cfg: cfg, ledger: l, stream: s,
		heard: time.Now(), renewals: make(chan renewal, 1), takeovers: make(chan takeover, 1), left: make(chan sale.ID), news: make(chan struct{}, 1),
	}
}

// listen asks NATS again and again whether it answers.
func (r *registry) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.ping(ctx)
		r.mu.Lock()
		if r.nats = err; err == nil {
			r.heard = time.Now()
		}
		r.mu.Unlock()
		sleep(ctx, r.cfg.Renewal)
	}
}

func (r *registry) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, natsPatience)
	defer cancel()
	return r.stream.Ping(ctx)
}

// deaf returns why NATS counts as away, or nil.
func (r *registry) deaf() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.heard) <= natsPatience {
		return nil
	}
	if r.nats != nil {
		return r.nats
	}
	return fmt.Errorf("%w: no answer for %v", stream.ErrUnavailable, natsPatience)
}

// turn begins a renewal, and a takeover of what is free, where none is under
// way. It does nothing but return why while NATS is away.
func (r *registry) turn(ctx context.Context, wait *sync.WaitGroup, t *term.Tenancy) error {
	if err := r.deaf(); err != nil {
		return err
	}
	if !r.renewing {
		r.renewing = true
		held := t.Held()
		wait.Go(func() { r.renew(ctx, held) })
	}
	r.seek(ctx, wait, t)
	return nil
}

// seek begins a takeover of what is free, where none is under way.
func (r *registry) seek(ctx context.Context, wait *sync.WaitGroup, t *term.Tenancy) {
	if !r.alive || r.taking {
		return
	}
	r.taking = true
	skip := t.Skip(time.Now())
	wait.Go(func() { r.take(ctx, skip) })
}

func (r *registry) renew(ctx context.Context, held map[sale.ID]ledger.Lease) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	crash.At("allocator/before-renew")
	leases, err := r.ledger.Renew(ctx, r.cfg.LeaseTTL)
	crash.At("allocator/after-renew")
	r.renewals <- renewal{held, leases, err}
}

func (r *registry) take(ctx context.Context, skip []sale.ID) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	crash.At("allocator/before-take")
	leases, err := r.ledger.Take(ctx, r.cfg.LeaseTTL, skip, r.cfg.TakeAtOnce)
	if len(leases) > 0 {
		crash.At("allocator/after-take")
	}
	r.takeovers <- takeover{leases, err}
}

// giveBack gives one lease back.
func (r *registry) giveBack(ctx context.Context, lease ledger.Lease, why error, log *slog.Logger) {
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerTimeout)
	defer cancel()
	err := r.ledger.Release(release, lease)
	select {
	case r.left <- lease.Sale:
	case <-ctx.Done():
	}
	if errors.Is(why, term.ErrStalled) {
		log.Error("ALARM", "kind", "stalled", "error", why)
	}
	if err != nil {
		log.Warn("lease not given back", "error", err)
	}
}
