package allocator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Timeouts of the calls about leases, after which a dead connection is given up.
// They have nothing to do with the length of a lease: a ledger that is slow is
// led nevertheless, and what an answer that came late would have said is learned
// from the next renewal.
const (
	renewTimeout = 5 * time.Second
	takeTimeout  = 30 * time.Second // of up to eight round trips, a wait for the cursor's row, and a commit
)

// What Hold is told.
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
	// ended is a term that has ended by itself.
	ended struct {
		*running

		why error
	}
	left struct{ sale sale.ID } // giving its lease back has ended
	news struct{}               // there may be a free sale
)

// Hold looks after the leases until ctx ends. It waits for nothing but what it is
// told: a renewal is made only while it, and the terms, make progress.
func (a *Allocator) Hold(ctx context.Context) {
	a.host.Go(func() { a.standby.run(ctx) })
	a.host.Go(func() { a.listen(ctx) })
	stop, err := a.ports.News.Changed(func() { a.inbox.Put(news{}) })
	if err != nil {
		a.log.Warn("new sales are led a little later", "error", err)
	} else {
		defer stop()
	}
	h := &holder{Allocator: a}
	h.turn(ctx)
	for looked := a.host.Now(); ctx.Err() == nil; {
		told, ok := a.inbox.Take(ctx, looked.Add(a.cfg.Renewal).Sub(a.host.Now()))
		if ok {
			h.heed(ctx, told)
		}
		if now := a.host.Now(); ctx.Err() == nil && now.Sub(looked) >= a.cfg.Renewal {
			a.attended.Add(int64(min(now.Sub(looked), 2*a.cfg.Renewal))) // not while the whole process stood still
			looked = now
			h.endStalled(ctx)
			h.tellLate(now)
			h.turn(ctx)
		}
	}
}

// holder asks the ledger about leases: one renewal at a time, and beside it one
// takeover, however long that takes.
type holder struct {
	*Allocator

	renewing bool // a renewal is under way
	taking   bool // a takeover is under way
	free     bool // since it began there may be a free sale
	alive    bool // the last renewal succeeded
	warned   warnOnce
}

func (h *holder) heed(ctx context.Context, told any) {
	switch x := told.(type) {
	case renewal:
		h.onRenewal(ctx, x)
	case takeover:
		h.onTakeover(ctx, x)
	case ended:
		h.finish(ctx, x.running, x.why)
	case left:
		h.leases.left(x.sale)
	case news:
		h.free = true
		h.seek(ctx)
	}
}

// turn begins a renewal, and a takeover of what is free, where none is under way.
// It does nothing while NATS is away.
func (h *holder) turn(ctx context.Context) {
	err := h.nats.deaf(h.host.Now())
	h.warned.about(h.log, "leases are not renewed while NATS is away", err)
	if err != nil {
		return
	}
	if !h.renewing {
		h.renewing = true
		held := h.leases.all()
		h.host.Go(func() { h.renew(ctx, held) })
	}
	h.seek(ctx)
}

func (h *holder) renew(ctx context.Context, held map[sale.ID]ledger.Lease) {
	ctx, cancel := h.host.WithTimeout(ctx, renewTimeout)
	defer cancel()
	leases, err := h.ports.Leases.Renew(ctx, h.cfg.LeaseTTL)
	h.inbox.Put(renewal{held, leases, err})
}

// onRenewal ends the terms of leases that were lost and begins those of leases that
// were taken without our knowing. After the first that succeeds free sales may be
// taken.
func (h *holder) onRenewal(ctx context.Context, r renewal) {
	was := h.alive
	h.renewing, h.alive = false, r.err == nil
	h.warned.about(h.log, "leases are not renewed", r.err)
	now := h.host.Now()
	h.mu.Lock()
	if h.renewal = r.err; r.err == nil {
		h.renewed = now
	}
	h.mu.Unlock()
	if r.err != nil {
		return
	}
	lost, adopted := h.leases.renewed(r.held, r.leases, now)
	for _, lease := range lost {
		h.end(lease.Sale, ledger.ErrFenced)
		h.log.Warn("lease lost", "sale", lease.Sale, "epoch", lease.Epoch)
	}
	for _, lease := range adopted {
		h.lead(lease)
	}
	if !was {
		h.seek(ctx)
	}
}

// seek begins a takeover of what is free, where none is under way.
func (h *holder) seek(ctx context.Context) {
	if !h.alive || h.taking {
		return
	}
	h.taking, h.free = true, false
	skip := h.leases.skip(h.host.Now())
	h.host.Go(func() { h.take(ctx, skip) })
}

func (h *holder) take(ctx context.Context, skip []sale.ID) {
	ctx, cancel := h.host.WithTimeout(ctx, takeTimeout)
	defer cancel()
	leases, err := h.ports.Leases.Take(ctx, h.cfg.LeaseTTL, skip, h.cfg.TakeAtOnce)
	h.inbox.Put(takeover{leases, err})
}

func (h *holder) onTakeover(ctx context.Context, t takeover) {
	h.taking = false
	h.warned.about(h.log, "free sales are not taken", t.err)
	for _, lease := range h.leases.taken(t.leases) {
		h.lead(lease)
	}
	if h.free && t.err == nil {
		h.seek(ctx)
	}
}

// endStalled gives up the sales whose terms make no progress. Whatever they are
// blocked in: if they ever come back, they find that they have ended.
func (h *holder) endStalled(ctx context.Context) {
	for _, r := range h.running() {
		if err := r.progress.stalled(h.attended.Load()); err != nil {
			h.metrics.alarms.WithLabelValues("stalled").Inc()
			h.finish(ctx, r, err)
		}
	}
}

// tellLate says of each takeover that takes long how far it is, once. It does not
// wait for the log.
func (h *holder) tellLate(now time.Time) {
	for _, r := range h.running() {
		if err := r.progress.late(now); err != nil {
			h.host.Go(func() { r.log.Warn("the sale is not decided yet, shoppers wait", "error", err) })
		}
	}
}

// finish forgets a term that ended by itself, or is to, and gives its lease back.
func (h *holder) finish(ctx context.Context, r *running, why error) {
	if h.terms[r.lease.Sale] != r {
		return
	}
	h.end(r.lease.Sale, why)
	if h.leases.ended(r.lease, why, h.host.Now()) {
		h.host.Go(func() { h.giveBack(ctx, r.lease, why, r.log) })
	}
}

// giveBack gives one lease back.
func (h *holder) giveBack(ctx context.Context, lease ledger.Lease, why error, log *slog.Logger) {
	release, cancel := h.host.WithTimeout(context.WithoutCancel(ctx), ledgerTimeout)
	defer cancel()
	err := h.ports.Leases.Release(release, lease)
	h.inbox.Put(left{lease.Sale})
	if errors.Is(why, errStalled) {
		log.Error("ALARM", "kind", "stalled", "error", why)
	}
	if err != nil {
		log.Warn("lease not given back", "error", err)
	}
}

// natsPatience is for how long after NATS's last answer leases are still
// renewed: an allocator that cannot read must not keep others from it.
const natsPatience = time.Second

// nats is what is known of NATS.
type nats struct {
	mu    sync.Mutex
	heard time.Time // when it answered last; guarded by mu
	err   error     // of the last question; guarded by mu
}

// listen asks NATS again and again whether it answers.
func (a *Allocator) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.ping(ctx)
		a.nats.answered(a.host.Now(), err)
		a.host.Wait(ctx, a.cfg.Renewal)
	}
}

func (a *Allocator) ping(ctx context.Context) error {
	ctx, cancel := a.host.WithTimeout(ctx, natsPatience)
	defer cancel()
	return a.ports.News.Ping(ctx)
}

func (n *nats) answered(now time.Time, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err = err; err == nil {
		n.heard = now
	}
}

// deaf returns why NATS counts as away, or nil.
func (n *nats) deaf(now time.Time) error {
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
