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

	sim    *simulation
	ledger bookOf
}

// restorePage is how many decisions are read at a time: few, so that most
// engines are made of several pages.
const restorePage = 16

func (a *allocatorProcess) boot() {
	a.start()
	a.ledger = bookOf{a.sim.book, a.name + "-" + string(rune('a'+a.life))}
	cfg := allocator.DefaultConfig()
	cfg.BatchRequests, cfg.RestorePage = a.sim.cfg.Batch, restorePage
	p := allocatorPorts{a}
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

// alarms is the log of an allocator: what needs a person is a violation, but for
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

// allocatorPorts are the world as an allocator's code sees it: each call takes its
// time, and is where the process may die.
type allocatorPorts struct{ *allocatorProcess }

// port makes a call. A context that ends meanwhile leaves it unknown what came of it.
func port[T any](ctx context.Context, p allocatorPorts, name string, do func() (T, error)) (T, error) {
	var none T
	p.w.sleep(ctx, p.quick())
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	p.reach("allocator/before-" + name)
	x, err := do()
	p.reach("allocator/after-" + name)
	p.w.sleep(ctx, p.quick())
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	return x, err
}

// reach dies where a fault waits for this point.
func (p allocatorPorts) reach(point string) {
	if dies, f := p.sim.reach(point); dies {
		p.crash()
		p.w.in(f.Length, p.boot)
		panic(crashed{})
	}
}

// quick is the time of a way to a server or back.
func (p allocatorPorts) quick() time.Duration {
	return p.w.between(30*time.Microsecond, 1500*time.Microsecond)
}

// lossy makes a statement of which it may not be known whether it was carried out:
// the connection can break before it, or after it.
func (p allocatorPorts) lossy(do func() error) func() (struct{}, error) {
	return func() (none struct{}, err error) {
		if p.w.oneIn(p.sim.cfg.Lossy) {
			return none, errAway
		}
		err = do()
		p.w.note("statement "+p.name, boolean(err == nil))
		if err == nil && p.w.oneIn(p.sim.cfg.Lossy) {
			err = errAway
			p.w.hit(CommittedUnreported)
		}
		return none, err
	}
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (p allocatorPorts) Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error) {
	return port(ctx, p, "renew", func() ([]ledger.Lease, error) { return p.ledger.Renew(ctx, ttl) })
}

func (p allocatorPorts) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error) {
	return port(ctx, p, "take", func() ([]ledger.Lease, error) { return p.ledger.Take(ctx, ttl, skip, limit) })
}

func (p allocatorPorts) Release(ctx context.Context, lease ledger.Lease) error {
	_, err := port(ctx, p, "release", func() (struct{}, error) { return struct{}{}, p.ledger.Release(ctx, lease) })
	return err
}

func (p allocatorPorts) OpenPositions(ctx context.Context, age time.Duration) (map[sale.ID]int64, error) {
	return port(ctx, p, "open-positions", func() (map[sale.ID]int64, error) { return p.ledger.OpenPositions(ctx, age) })
}

func (p allocatorPorts) Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error) {
	return port(ctx, p, "sale", func() (ledger.SaleRow, error) { return p.ledger.Sale(ctx, id) })
}

func (p allocatorPorts) Cursor(ctx context.Context, id sale.ID) (ledger.Position, error) {
	return port(ctx, p, "cursor", func() (ledger.Position, error) { return p.ledger.Cursor(ctx, id) })
}

func (p allocatorPorts) Settled(ctx context.Context, id sale.ID, epoch int64) (ledger.Position, error) {
	return port(ctx, p, "settled", func() (ledger.Position, error) { return p.ledger.Settled(ctx, id, epoch) })
}

func (p allocatorPorts) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error) {
	return port(ctx, p, "decision-page", func() ([]allocation.Decision, error) {
		return p.ledger.DecisionPage(ctx, id, after, upTo, most, room)
	})
}

func (p allocatorPorts) Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (bool, error) {
	return port(ctx, p, "committed", func() (bool, error) { return p.ledger.Committed(ctx, id, generation, sequence, chain) })
}

func (p allocatorPorts) Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error {
	s := p.sim.book.sale(id)
	s.undecided = true
	_, err := port(ctx, p, "commit", p.lossy(func() error { return p.ledger.Commit(ctx, id, epoch, b) }))
	switch {
	case errors.Is(err, ledger.ErrFenced):
		p.w.hit(ZombieFenced)
		return err
	case err == nil && len(b.Replies) > len(b.Decisions):
		p.w.hit(RepeatedCode)
	}
	s.undecided = err != nil
	return err
}

func (p allocatorPorts) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error {
	_, err := port(ctx, p, "open-generation", p.lossy(func() error { return p.ledger.OpenGeneration(ctx, id, epoch, h) }))
	return err
}

func (p allocatorPorts) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error) {
	return port(ctx, p, "applied", func() (bool, error) { return p.ledger.Applied(ctx, id, sequence, m) })
}

func (p allocatorPorts) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	return port(ctx, p, "opening", func() (stream.Opening, error) {
		if !p.sim.broker.up() {
			return stream.Opening{}, errBroker
		}
		return p.sim.broker.opening(id)
	})
}

func (p allocatorPorts) Of(id sale.ID) follow.Stream { return requestsOf{p, id} }

// requestsOf is the stream of a sale's requests.
type requestsOf struct {
	p  allocatorPorts
	id sale.ID
}

func (r requestsOf) Info(ctx context.Context) (stream.Info, error) {
	return port(ctx, r.p, "info", func() (stream.Info, error) { return r.p.sim.broker.info(r.id) })
}

func (r requestsOf) Message(ctx context.Context, sequence uint64) (stream.Message, error) {
	return port(ctx, r.p, "message", func() (stream.Message, error) { return r.p.sim.broker.message(r.id, sequence) })
}

func (r requestsOf) Read(ctx context.Context, from uint64) (follow.Reader, error) {
	return port(ctx, r.p, "read", func() (follow.Reader, error) {
		if !r.p.sim.broker.up() {
			return nil, errBroker
		}
		return &readerOf{r.p, r.p.sim.broker.sales[r.id], from, r.p.sim.broker.session}, nil
	})
}

func (p allocatorPorts) Ping(ctx context.Context) error {
	_, err := port(ctx, p, "ping", func() (struct{}, error) { return struct{}{}, p.sim.broker.answers() })
	return err
}

func (p allocatorPorts) Changed(handle func()) (stop func(), err error) {
	life := p.life
	p.sim.broker.watchers = append(p.sim.broker.watchers, func() {
		if p.alive && p.life == life {
			p.in(p.quick(), handle)
		}
	})
	return func() {}, nil
}

func (p allocatorPorts) Mark(ctx context.Context, id sale.UUID) (rejection.Mark, error) {
	return port(ctx, p, "mark", func() (rejection.Mark, error) { return p.sim.cache.Mark(ctx, id) })
}

func (p allocatorPorts) Learn(ctx context.Context, id sale.UUID, from, upTo rejection.Mark, f *allocation.Facts) (rejection.Mark, error) {
	return port(ctx, p, "learn", func() (rejection.Mark, error) { return p.sim.cache.Learn(ctx, id, from, upTo, f) })
}

func (p allocatorPorts) Forget(ctx context.Context, id sale.UUID) error {
	_, err := port(ctx, p, "forget", func() (struct{}, error) { return struct{}{}, p.sim.cache.Forget(ctx, id) })
	return err
}

func (p allocatorPorts) MaxMessage() int { return wire.MaxMessage }

// Reply waits for nothing: the message leaves with others.
func (p allocatorPorts) Reply(edge string, data []byte) error {
	p.reach("allocator/before-reply")
	replies, err := wire.DecodeReplies(data)
	if err != nil {
		p.sim.violatef("replies cannot be read: %v", err)
	}
	if p.w.oneIn(p.sim.cfg.Lossy) {
		p.w.hit(CommittedUnreplied)
	} else {
		p.w.in(p.quick(), func() { p.sim.deliver(edge, replies) })
	}
	p.reach("allocator/after-reply")
	return nil
}

// readerOf delivers a sale's messages, as long as its session lasts. One whose
// position lies beyond the end of a shortened stream waits for ever, silently.
type readerOf struct {
	p       allocatorPorts
	of      *streamOf
	next    uint64
	session int
}

// Next implements follow.Reader.
func (r *readerOf) Next(ctx context.Context, most int, patience time.Duration) ([]stream.Message, error) {
	w := r.p.w
	until := w.until(patience)
	for r.session == r.p.sim.broker.session && r.next > uint64(len(r.of.messages)) {
		left := time.Duration(until-w.now) * time.Microsecond
		if ctx.Err() != nil || left <= 0 {
			return nil, ctx.Err()
		}
		w.parked(ctx, func(wake func(time.Duration)) {
			r.of.waiting = append(r.of.waiting, func() { wake(r.p.quick()) })
			wake(left)
		})
	}
	if r.session != r.p.sim.broker.session {
		return nil, errBroker
	}
	n := min(uint64(len(r.of.messages)), r.next+uint64(w.rng.IntN(min(most, 8))))
	messages := r.of.messages[r.next-1 : n : n]
	r.next = n + 1
	return messages, nil
}

// Stop implements follow.Reader.
func (r *readerOf) Stop() {}
