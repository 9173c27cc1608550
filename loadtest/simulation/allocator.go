package simulation

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/follow"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/allocator"
)

// allocatorProcess is one allocator.
type allocatorProcess struct {
	process

	sim *simulation
}

// restorePage is how many decisions are read at a time: few, so that most
// engines are made of several pages.
const restorePage = 16

func (a *allocatorProcess) boot() {
	a.start()
	cfg := allocator.DefaultConfig()
	cfg.BatchRequests, cfg.RestorePage = a.sim.cfg.Batch, restorePage
	p := allocatorPorts{calls{&a.process, a.sim, "allocator", a.boot}, bookOf{a.sim.book, a.name + "-" + string(rune('a'+a.life))}}
	one, err := allocator.On(cfg, allocator.Ports{Leases: p, History: p, Commits: p, Streams: p, News: p, Cache: p, Edges: p},
		simulated{&a.process}, slog.New(&alarms{sim: a.sim}), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	a.spawn(func() {
		a.w.sleep(context.Background(), a.w.between(0, cfg.Renewal))
		one.Hold(context.Background())
	})
}

// alarms is the log of a service: what needs a person is a violation, but for
// what the faults do to a stream.
type alarms struct {
	slog.Handler

	sim *simulation
}

// Enabled implements slog.Handler.
func (h *alarms) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// WithAttrs implements slog.Handler.
func (h *alarms) WithAttrs([]slog.Attr) slog.Handler { return h }

// Handle implements slog.Handler.
func (h *alarms) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "ALARM" {
		return nil
	}
	text, kind := "", ""
	r.Attrs(func(a slog.Attr) bool {
		if text += " " + a.String(); a.Key == "kind" {
			kind = a.Value.String()
		}
		return true
	})
	if h.sim.w.note("alarm " + kind); kind != "lost-tail" {
		h.sim.violatef("alarm: %s%s", r.Message, text)
	}
	return nil
}

// calls are the world as a service's code sees it: each call takes its time, and is
// where the process may die.
type calls struct {
	*process

	sim  *simulation
	role string
	boot func() // begins the next life
}

// port makes a call. A context that ends meanwhile leaves it unknown what came of it.
func port[T any](ctx context.Context, c calls, name string, do func() (T, error)) (T, error) {
	var none T
	c.w.sleep(ctx, c.quick())
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	c.reach("before-" + name)
	x, err := do()
	c.reach("after-" + name)
	c.w.sleep(ctx, c.quick())
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	return x, err
}

// reach dies where a fault waits for this point.
func (c calls) reach(point string) {
	if dies, f := c.sim.reach(c.role + "/" + point); dies {
		c.crash()
		c.w.in(f.Length, c.boot)
		panic(crashed{})
	}
}

// quick is the time of a way to a server or back.
func (c calls) quick() time.Duration {
	return c.w.between(30*time.Microsecond, 1500*time.Microsecond)
}

// watch tells of changes of the directory, as long as this life of the process lasts.
func (c calls) watch(b *broker, handle func()) {
	life := c.life
	b.watchers = append(b.watchers, func() {
		if c.alive && c.life == life {
			c.in(c.quick(), handle)
		}
	})
}

// lossy makes a call of which it may not be known whether it was carried out: the
// connection can break before it, or after it.
func lossy[T any](c calls, do func() (T, error)) func() (T, error) {
	return func() (x T, err error) {
		if c.w.oneIn(c.sim.cfg.Lossy) {
			return x, errAway
		}
		x, err = do()
		c.w.note("call of "+c.name, boolean(err == nil))
		if err == nil && c.w.oneIn(c.sim.cfg.Lossy) {
			err = errAway
		}
		return x, err
	}
}

// statement is a call to the ledger. A slow one takes its time for both ways.
func statement[T any](ctx context.Context, c calls, name string, do func() (T, error)) (T, error) {
	return port(ctx, c, name, func() (T, error) {
		c.w.sleep(context.WithoutCancel(ctx), c.sim.book.lag())
		x, err := lossy(c, do)()
		c.w.sleep(ctx, c.sim.book.lag())
		return x, err
	})
}

// allocatorPorts are the servers as an allocator sees them.
type allocatorPorts struct {
	calls

	ledger bookOf
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (p allocatorPorts) Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error) {
	return statement(ctx, p.calls, "renew", func() ([]ledger.Lease, error) { return p.ledger.Renew(ctx, ttl) })
}

func (p allocatorPorts) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error) {
	return statement(ctx, p.calls, "take", func() ([]ledger.Lease, error) { return p.ledger.Take(ctx, ttl, skip, limit) })
}

func (p allocatorPorts) Release(ctx context.Context, lease ledger.Lease) error {
	_, err := statement(ctx, p.calls, "release", func() (struct{}, error) { return struct{}{}, p.ledger.Release(ctx, lease) })
	return err
}

func (p allocatorPorts) OpenPositions(ctx context.Context, age time.Duration) (map[sale.ID]int64, error) {
	return statement(ctx, p.calls, "open-positions", func() (map[sale.ID]int64, error) { return p.ledger.OpenPositions(ctx, age) })
}

func (p allocatorPorts) Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error) {
	return statement(ctx, p.calls, "sale", func() (ledger.SaleRow, error) { return p.ledger.Sale(ctx, id) })
}

func (p allocatorPorts) Cursor(ctx context.Context, id sale.ID) (ledger.Position, error) {
	return statement(ctx, p.calls, "cursor", func() (ledger.Position, error) { return p.ledger.Cursor(ctx, id) })
}

func (p allocatorPorts) Settled(ctx context.Context, id sale.ID, epoch int64) (ledger.Position, error) {
	return statement(ctx, p.calls, "settled", func() (ledger.Position, error) { return p.ledger.Settled(ctx, id, epoch) })
}

func (p allocatorPorts) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error) {
	return statement(ctx, p.calls, "decision-page", func() ([]allocation.Decision, error) {
		return p.ledger.DecisionPage(ctx, id, after, upTo, most, room)
	})
}

func (p allocatorPorts) Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (bool, error) {
	return statement(ctx, p.calls, "committed", func() (bool, error) { return p.ledger.Committed(ctx, id, generation, sequence, chain) })
}

func (p allocatorPorts) Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error {
	s := p.sim.book.sale(id)
	s.undecided = true
	committed := false
	_, err := statement(ctx, p.calls, "commit", func() (none struct{}, err error) {
		err = p.ledger.Commit(ctx, id, epoch, b)
		committed = err == nil
		return none, err
	})
	switch {
	case errors.Is(err, ledger.ErrFenced):
		p.w.hit(ZombieFenced)
		return err
	case committed && err != nil:
		p.w.hit(CommittedUnreported)
	case err == nil && len(b.Replies) > len(b.Decisions):
		p.w.hit(RepeatedCode)
	}
	s.undecided = err != nil
	return err
}

func (p allocatorPorts) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error {
	_, err := statement(ctx, p.calls, "open-generation", func() (struct{}, error) { return struct{}{}, p.ledger.OpenGeneration(ctx, id, epoch, h) })
	return err
}

func (p allocatorPorts) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error) {
	return statement(ctx, p.calls, "applied", func() (bool, error) { return p.ledger.Applied(ctx, id, sequence, m) })
}

func (p allocatorPorts) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	return port(ctx, p.calls, "opening", func() (stream.Opening, error) {
		if !p.sim.broker.up() {
			return stream.Opening{}, errBroker
		}
		return p.sim.broker.opening(id)
	})
}

func (p allocatorPorts) Of(id sale.ID) follow.Stream {
	return streamPort{p.calls, func() *streamOf { return p.sim.broker.sales[id] }}
}

func (p allocatorPorts) Ping(ctx context.Context) error {
	_, err := port(ctx, p.calls, "ping", func() (struct{}, error) { return struct{}{}, p.sim.broker.answers() })
	return err
}

func (p allocatorPorts) Changed(handle func()) (stop func(), err error) {
	p.watch(p.sim.broker, handle)
	return func() {}, nil
}

func (p allocatorPorts) Mark(ctx context.Context, id sale.UUID) (rejection.Mark, error) {
	return port(ctx, p.calls, "mark", func() (rejection.Mark, error) { return p.sim.cache.Mark(ctx, id) })
}

func (p allocatorPorts) Learn(ctx context.Context, id sale.UUID, from, upTo rejection.Mark, f *allocation.Facts) (rejection.Mark, error) {
	return port(ctx, p.calls, "learn", func() (rejection.Mark, error) { return p.sim.cache.Learn(ctx, id, from, upTo, f) })
}

func (p allocatorPorts) Forget(ctx context.Context, id sale.UUID) error {
	_, err := port(ctx, p.calls, "forget", func() (struct{}, error) { return struct{}{}, p.sim.cache.Forget(ctx, id) })
	return err
}

func (p allocatorPorts) MaxMessage() int { return wire.MaxMessage }

// Reply waits for nothing: the message leaves with others.
func (p allocatorPorts) Reply(edge string, data []byte) error {
	p.reach("before-reply")
	if p.w.oneIn(p.sim.cfg.Lossy) {
		p.w.hit(CommittedUnreplied)
	} else {
		p.w.in(p.quick(), func() { p.sim.deliver(edge, data) })
	}
	p.reach("after-reply")
	return nil
}
