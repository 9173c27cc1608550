package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/scheduler"
)

// schedulerProcess is one scheduler.
type schedulerProcess struct {
	process

	sim *simulation
}

func (p *schedulerProcess) boot() {
	p.start()
	p.died = func() {
		if p.sim.book.opening() {
			p.w.hit(OpeningInterrupted)
		}
	}
	cfg := scheduler.Config{Every: time.Hour, Stock: p.sim.cfg.Stock, UserLimit: p.sim.cfg.UserLimit}
	if p.sim.cfg.Seed%4 == 0 {
		cfg.Every = 20 * time.Second // a second sale opens while the first sells
	}
	c := calls{&p.process, p.sim, "scheduler", p.boot}
	l, s := schedulerLedger{c}, schedulerStreams{c}
	one, err := scheduler.On(cfg, scheduler.Ports{Ledger: l, Rows: l, Removed: l, Store: s, Streams: s, Parts: s, Renewal: s, Space: s, Sizes: s},
		simulated{&p.process}, slog.New(&alarms{sim: p.sim}), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	p.spawn(func() {
		p.w.sleep(context.Background(), p.w.between(0, 20*time.Millisecond))
		if err := one.Schedule(context.Background()); err != nil {
			p.sim.violatef("a scheduler ends: %v", err)
		}
	})
}

// schedulerLedger is the ledger as a scheduler sees it.
type schedulerLedger struct{ calls }

func (p schedulerLedger) Installation(ctx context.Context) (sale.UUID, error) {
	return statement(ctx, p.calls, "installation", func() (sale.UUID, error) { return p.sim.book.Installation(ctx) })
}

func (p schedulerLedger) NextSlot(ctx context.Context, every time.Duration) (time.Duration, error) {
	return statement(ctx, p.calls, "next-slot", func() (time.Duration, error) { return p.sim.book.NextSlot(ctx, every) })
}

func (p schedulerLedger) UnsoldSales(ctx context.Context) ([]sale.ID, error) {
	return statement(ctx, p.calls, "unsold-sales", func() ([]sale.ID, error) { return p.sim.book.UnsoldSales(ctx) })
}

func (p schedulerLedger) OpenSlot(ctx context.Context, t ledger.Template) (bool, error) {
	return statement(ctx, p.calls, "open-slot", func() (bool, error) { return p.sim.book.OpenSlot(ctx, t) })
}

func (p schedulerLedger) Adopt(ctx context.Context, of sale.Sale) error {
	_, err := statement(ctx, p.calls, "adopt", func() (struct{}, error) { return struct{}{}, p.sim.book.Adopt(ctx, of) })
	return err
}

func (p schedulerLedger) MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, created time.Time) error {
	_, err := statement(ctx, p.calls, "mark-open", func() (struct{}, error) { return struct{}{}, p.sim.book.MarkOpen(ctx, id, genesis, created) })
	return err
}

func (p schedulerLedger) Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error) {
	return statement(ctx, p.calls, "sales", func() ([]ledger.SaleRow, error) { return p.sim.book.Sales(ctx, before, limit) })
}

func (p schedulerLedger) UnsoldParts(ctx context.Context) ([]ledger.UnsoldPart, error) {
	return statement(ctx, p.calls, "unsold-parts", func() ([]ledger.UnsoldPart, error) { return p.sim.book.UnsoldParts(ctx) })
}

func (p schedulerLedger) AttemptCursor(ctx context.Context, of wire.AttemptStream) (ledger.AttemptCursor, error) {
	return statement(ctx, p.calls, "attempt-cursor", func() (ledger.AttemptCursor, error) { return p.sim.book.AttemptCursor(ctx, of) })
}

func (p schedulerLedger) RemoveUnsold(context.Context, int, uint64, time.Time, time.Time, time.Duration) (bool, error) {
	panic("the stream of no sale is never followed by another here")
}

// schedulerStreams are NATS as a scheduler sees it, and its directory of sales.
type schedulerStreams struct{ calls }

// write is a call that changes something, of which it may not be known whether it did.
func (p schedulerStreams) write(ctx context.Context, name string, do func(*broker) error) error {
	_, err := port(ctx, p.calls, name, lossy(p.calls, func() (none struct{}, err error) {
		if err := p.sim.broker.answers(); err != nil {
			return none, err
		}
		return none, do(p.sim.broker)
	}))
	return err
}

// read is a call that changes nothing.
func read[T any](ctx context.Context, p schedulerStreams, name string, do func(*broker) (T, error)) (T, error) {
	return port(ctx, p.calls, name, func() (x T, err error) {
		if err := p.sim.broker.answers(); err != nil {
			return x, err
		}
		return do(p.sim.broker)
	})
}

func (p schedulerStreams) Directory(ctx context.Context) (scheduler.Directory, error) {
	return read(ctx, p, "directory", func(*broker) (scheduler.Directory, error) { return p, nil })
}

func (p schedulerStreams) Claim(ctx context.Context, installation sale.UUID) error {
	return p.write(ctx, "claim", func(b *broker) error { return b.claim(installation) })
}

func (p schedulerStreams) ServerTime(ctx context.Context) (server, local time.Time, err error) {
	server, err = read(ctx, p, "server-time", func(b *broker) (time.Time, error) { return (b.w.now + b.skew).Time(), nil })
	return server, time.Time{}, err
}

func (p schedulerStreams) Put(ctx context.Context, e wire.Entry) error {
	return p.write(ctx, "put", func(b *broker) error { return b.put(e) })
}

func (p schedulerStreams) Count(ctx context.Context) (int, error) {
	return read(ctx, p, "count", func(b *broker) (int, error) { return len(b.listed), nil })
}

func (p schedulerStreams) Entries(ctx context.Context) (map[sale.ID]wire.Entry, error) {
	return read(ctx, p, "entries", func(b *broker) (map[sale.ID]wire.Entry, error) { return maps.Clone(b.listed), nil })
}

func (p schedulerStreams) Sales(ctx context.Context) ([]sale.ID, error) {
	return read(ctx, p, "sales", func(b *broker) ([]sale.ID, error) { return slices.Sorted(maps.Keys(b.sales)), nil })
}

func (p schedulerStreams) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	return read(ctx, p, "opening", func(b *broker) (stream.Opening, error) { return b.opening(id) })
}

func (p schedulerStreams) OpeningOf(ctx context.Context, of sale.Sale) (stream.Opening, error) {
	return read(ctx, p, "opening-of", func(b *broker) (stream.Opening, error) { return b.openingOf(of) })
}

func (p schedulerStreams) CreateCheckouts(ctx context.Context, id sale.ID) error {
	return p.write(ctx, "create-checkouts", func(b *broker) error { return b.create(b.attempts, id) })
}

func (p schedulerStreams) CreatePurchases(ctx context.Context, id sale.ID) error {
	return p.write(ctx, "create-purchases", func(b *broker) error { return b.create(b.sales, id) })
}

func (p schedulerStreams) PublishOpening(ctx context.Context, of sale.Sale) error {
	return p.write(ctx, "publish-opening", func(b *broker) error { return b.publishOpening(of) })
}

func (p schedulerStreams) UnsoldParts(ctx context.Context) ([]int, error) {
	return read(ctx, p, "unsold-parts", func(*broker) ([]int, error) { return []int{0}, nil })
}

// UnsoldPart is of a stream that has just been made, however much there is in it.
func (p schedulerStreams) UnsoldPart(ctx context.Context, _ int) (stream.Info, error) {
	return read(ctx, p, "unsold-part", func(*broker) (stream.Info, error) { return stream.Info{}, nil })
}

func (p schedulerStreams) CreateUnsold(context.Context, int) error {
	panic("the last part is never old")
}
func (p schedulerStreams) CloseUnsold(context.Context, int) error  { panic("there is one part") }
func (p schedulerStreams) RemoveUnsold(context.Context, int) error { panic("there is one part") }

func (p schedulerStreams) Space(ctx context.Context) (stream.Space, error) {
	return read(ctx, p, "space", func(b *broker) (stream.Space, error) { return b.space(), nil })
}

// Full: no stream of the model refuses anything.
func (p schedulerStreams) Full(func(string)) (stop func(), err error) { return func() {}, nil }

func (p schedulerStreams) Sizes(ctx context.Context) ([]stream.Size, error) {
	return read(ctx, p, "sizes", func(b *broker) ([]stream.Size, error) { return b.sizes(), nil })
}

func (p schedulerStreams) Size(ctx context.Context, name string) (stream.Size, error) {
	return read(ctx, p, "size", func(b *broker) (stream.Size, error) { return b.size(name) })
}

func (p schedulerStreams) Resize(ctx context.Context, s stream.Size, size int64) error {
	return p.write(ctx, "resize", func(b *broker) error { return b.resize(s, size) })
}

func (p schedulerStreams) Replicate(context.Context, *stream.Size) (bool, error) { return false, nil }

// NATS's part.

// claim makes the store an installation's.
func (b *broker) claim(installation sale.UUID) error {
	if b.owner.IsZero() {
		b.owner = installation
	}
	if b.owner != installation {
		return stream.ErrForeign
	}
	return nil
}

// put lists a sale. A state only moves forward.
func (b *broker) put(e wire.Entry) error {
	if had, listed := b.listed[e.Sale.ID]; listed && had.Sale == e.Sale && !e.State.After(had.State) {
		return nil
	}
	b.listed[e.Sale.ID] = e
	b.changed()
	return nil
}

// create makes a stream, unless it is there.
func (b *broker) create(kind map[sale.ID]*streamOf, id sale.ID) error {
	if kind[id] == nil {
		kind[id] = &streamOf{created: b.w.now.Time(), room: stream.MinStreamBytes}
	}
	return nil
}

// publishOpening stores an opening record as the first message.
func (b *broker) publishOpening(of sale.Sale) error {
	s := b.sales[of.ID]
	switch {
	case s == nil:
		return errBroker
	case len(s.messages) > 0:
		b.w.hit(OpeningRaced)
	default:
		b.append(s, wire.EncodeOpening(of))
	}
	return nil
}

func (b *broker) opening(id sale.ID) (stream.Opening, error) {
	of := b.sales[id]
	if of == nil || len(of.messages) == 0 {
		return stream.Opening{}, stream.ErrLost
	}
	s, err := wire.DecodeOpening(of.messages[0].Data)
	return stream.Opening{Sale: s, Message: of.messages[0], Created: of.created}, err
}

func (b *broker) openingOf(s sale.Sale) (stream.Opening, error) {
	opening, err := b.opening(s.ID)
	if err == nil && opening.Sale != s {
		err = stream.ErrForeign
	}
	return opening, err
}

// messageBytes is what a message takes of the model's room: much, so that small sales
// need streams that grow.
const messageBytes = 32 << 10

// sizes are those of all streams, in order.
func (b *broker) sizes() (list []stream.Size) {
	add := func(kind stream.Kind, name, subject string, of map[sale.ID]*streamOf) {
		for _, id := range slices.Sorted(maps.Keys(of)) {
			s := of[id]
			list = append(list, stream.Size{
				Name: fmt.Sprintf("%s_%d", name, id), Subject: fmt.Sprintf("%s.%d", subject, id), Kind: kind, Sale: id,
				Bytes: int64(len(s.messages)) * messageBytes, MaxBytes: s.room, Messages: uint64(len(s.messages)), Replicas: 1, Created: s.created,
			})
		}
	}
	add(stream.Attempts, "CHECKOUTS", "checkouts", b.attempts)
	add(stream.Purchases, "SALE", "purchases", b.sales)
	return list
}

func (b *broker) size(name string) (stream.Size, error) {
	for _, s := range b.sizes() {
		if s.Name == name {
			return s, nil
		}
	}
	return stream.Size{}, stream.ErrLost
}

// resize sets what a stream reserves, but never below what it held when it was read.
func (b *broker) resize(s stream.Size, size int64) error {
	of := b.sales[s.Sale]
	if s.Kind == stream.Attempts {
		of = b.attempts[s.Sale]
	}
	of.room = max(size, s.Bytes)
	return nil
}

// space is that of a store with room for all.
func (b *broker) space() stream.Space {
	s := stream.Space{Limit: 16 << 30}
	for _, of := range b.sizes() {
		s.Reserved += of.MaxBytes
		s.Streams++
	}
	return s
}
