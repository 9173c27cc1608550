package simulation

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"notsale/pkg/follow"
	"notsale/pkg/host"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/scheduler"
)

// natsOf is NATS as a process sees it. What schedulers call of it has the same
// conformance tests as the real one.
type natsOf struct {
	*broker

	by *process // nil: calls take no time, and are never lost
}

// write is a call that changes something. An error may mean that it did.
func (n natsOf) write(ctx context.Context, name string, do func() error) error {
	if n.by == nil {
		return do()
	}
	_, err := port(ctx, n.by, name, func() (struct{}, error) {
		return lossy(n.by, &n.service, func() (none struct{}, err error) { return none, do() })
	})
	return err
}

// read is a call that changes nothing.
func read[T any](ctx context.Context, n natsOf, name string, do func() (T, error)) (T, error) {
	if n.by == nil {
		return do()
	}
	return port(ctx, n.by, name, func() (x T, err error) {
		if err := n.answers(); err != nil {
			return x, err
		}
		return do()
	})
}

// What schedulers call.

func (n natsOf) Directory(ctx context.Context) (scheduler.Directory, error) {
	return read(ctx, n, "directory", func() (scheduler.Directory, error) { return n, nil })
}

// Claim makes the store an installation's.
func (n natsOf) Claim(ctx context.Context, installation sale.UUID) error {
	return n.write(ctx, "claim", func() error {
		if n.owner.IsZero() {
			n.owner = installation
		}
		if n.owner != installation {
			return stream.ErrForeign
		}
		return nil
	})
}

func (n natsOf) ServerTime(ctx context.Context) (server, local time.Time, err error) {
	server, err = read(ctx, n, "server-time", func() (time.Time, error) { return (n.w.now + n.skew).Time(), nil })
	return server, time.Time{}, err
}

// Put lists a sale. A state only moves forward.
func (n natsOf) Put(ctx context.Context, e wire.Entry) error {
	return n.write(ctx, "put", func() error {
		if had, listed := n.listed[e.Sale.ID]; listed && had.Sale == e.Sale && !e.State.After(had.State) {
			return nil
		}
		n.listed[e.Sale.ID] = e
		n.changed()
		return nil
	})
}

func (n natsOf) Count(ctx context.Context) (int, error) {
	return read(ctx, n, "count", func() (int, error) { return len(n.listed), nil })
}

func (n natsOf) Entries(ctx context.Context) (map[sale.ID]wire.Entry, error) {
	return read(ctx, n, "entries", func() (map[sale.ID]wire.Entry, error) { return maps.Clone(n.listed), nil })
}

func (n natsOf) Sales(ctx context.Context) ([]sale.ID, error) {
	return read(ctx, n, "sales", func() ([]sale.ID, error) { return slices.Sorted(maps.Keys(n.sales)), nil })
}

func (n natsOf) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	return read(ctx, n, "opening", func() (stream.Opening, error) { return n.opening(id) })
}

func (n natsOf) OpeningOf(ctx context.Context, of sale.Sale) (stream.Opening, error) {
	return read(ctx, n, "opening-of", func() (stream.Opening, error) {
		opening, err := n.opening(of.ID)
		if err == nil && opening.Sale != of {
			err = stream.ErrForeign
		}
		return opening, err
	})
}

func (n natsOf) CreateCheckouts(ctx context.Context, id sale.ID) error {
	return n.write(ctx, "create-checkouts", func() error { return n.create(n.attempts, id) })
}

func (n natsOf) CreatePurchases(ctx context.Context, id sale.ID) error {
	return n.write(ctx, "create-purchases", func() error { return n.create(n.sales, id) })
}

// create makes a stream, unless it is there.
func (n natsOf) create(kind map[sale.ID]*streamOf, id sale.ID) error {
	if kind[id] == nil {
		kind[id] = &streamOf{created: n.w.now.Time(), room: stream.MinStreamBytes}
	}
	return nil
}

// PublishOpening stores an opening record as the first message.
func (n natsOf) PublishOpening(ctx context.Context, of sale.Sale) error {
	return n.write(ctx, "publish-opening", func() error {
		s := n.sales[of.ID]
		switch {
		case s == nil:
			return n.away
		case len(s.messages) > 0:
			n.w.hit(OpeningRaced)
		default:
			n.append(s, wire.EncodeOpening(of))
		}
		return nil
	})
}

func (n natsOf) UnsoldParts(ctx context.Context) ([]int, error) {
	return read(ctx, n, "unsold-parts", func() ([]int, error) { return []int{0}, nil })
}

// UnsoldPart always says that the stream is new and empty.
func (n natsOf) UnsoldPart(ctx context.Context, _ int) (stream.Info, error) {
	return read(ctx, n, "unsold-part", func() (stream.Info, error) { return stream.Info{}, nil })
}

func (n natsOf) CreateUnsold(context.Context, int) error { panic("the last part is never old") }
func (n natsOf) CloseUnsold(context.Context, int) error  { panic("there is one part") }
func (n natsOf) RemoveUnsold(context.Context, int) error { panic("there is one part") }

// Space is that of a store with room for all.
func (n natsOf) Space(ctx context.Context) (stream.Space, error) {
	return read(ctx, n, "space", func() (stream.Space, error) {
		s := stream.Space{Limit: 16 << 30}
		for _, of := range n.sizes() {
			s.Reserved += of.MaxBytes
			s.Streams++
		}
		return s, nil
	})
}

// Full: no stream of the model refuses anything.
func (n natsOf) Full(func(string)) (stop func(), err error) { return func() {}, nil }

func (n natsOf) Sizes(ctx context.Context) ([]stream.Size, error) {
	return read(ctx, n, "sizes", func() ([]stream.Size, error) { return n.sizes(), nil })
}

func (n natsOf) Size(ctx context.Context, name string) (stream.Size, error) {
	return read(ctx, n, "size", func() (stream.Size, error) {
		sizes := n.sizes()
		if i := slices.IndexFunc(sizes, func(s stream.Size) bool { return s.Name == name }); i >= 0 {
			return sizes[i], nil
		}
		return stream.Size{}, stream.ErrLost
	})
}

// Resize sets what a stream reserves, but never below what it held when it was read.
func (n natsOf) Resize(ctx context.Context, s stream.Size, size int64) error {
	return n.write(ctx, "resize", func() error {
		of := n.sales[s.Sale]
		if s.Kind == stream.Attempts {
			of = n.attempts[s.Sale]
		}
		of.room = max(size, s.Bytes)
		return nil
	})
}

func (n natsOf) Replicate(context.Context, *stream.Size) (bool, error) { return false, nil }

// What others than schedulers call.

// Of implements allocator.Streams.
func (n natsOf) Of(id sale.ID) follow.Stream {
	return streamPort{n, func() *streamOf { return n.sales[id] }}
}

// Ping implements allocator.News.
func (n natsOf) Ping(ctx context.Context) error {
	_, err := read(ctx, n, "ping", func() (none struct{}, err error) { return none, nil })
	return err
}

// Changed implements allocator.News: it tells of changes of the directory, as long as
// this life of the process lasts.
func (n natsOf) Changed(handle func()) (stop func(), err error) {
	life := n.by.life
	n.watchers = append(n.watchers, func() {
		if n.by.alive && n.by.life == life {
			n.by.in(n.by.quick(), handle)
		}
	})
	return func() {}, nil
}

// Watch implements shop.Directory: it tells what the directory has, and all of it again
// each time that it changes, until the session ends.
func (n natsOf) Watch(ctx context.Context, put func(wire.Entry), listed func()) error {
	if _, err := read(ctx, n, "watch", func() (none struct{}, err error) { return none, nil }); err != nil {
		return err
	}
	if n.w.oneIn(4) { // late: meanwhile the edge asks the ledger
		n.w.sleep(ctx, n.w.between(0, time.Second))
	}
	changed := simulated{n.by}.Inbox()
	_, _ = n.Changed(func() { changed.Put(nil) }) // it never fails
	for session := n.session; session == n.session; {
		for _, id := range slices.Sorted(maps.Keys(n.listed)) {
			put(n.listed[id])
		}
		listed()
		if _, ok := changed.Take(ctx, host.Forever); !ok {
			return ctx.Err()
		}
	}
	return n.away
}

// Connected implements shop.Directory.
func (n natsOf) Connected() bool { return n.up() }

// MaxMessage implements shop.Publisher and allocator.Edges.
func (n natsOf) MaxMessage() int { return wire.MaxMessage }

// PublishPack implements shop.Publisher.
func (n natsOf) PublishPack(ctx context.Context, id sale.ID, data []byte) error {
	data = bytes.Clone(data)
	return n.send(ctx, "publish-pack", func() bool { return n.by.sim.storePack(id, data) })
}

// PublishAttempts implements shop.Publisher.
func (n natsOf) PublishAttempts(ctx context.Context, id sale.ID, data []byte) error {
	data = bytes.Clone(data)
	return n.send(ctx, "publish-attempts", func() bool {
		of := n.attempts[id]
		if of != nil {
			n.append(of, data)
		}
		return of != nil
	})
}

func (n natsOf) send(ctx context.Context, name string, store func() bool) error {
	_, err := port(ctx, n.by, name, func() (none struct{}, err error) { return none, n.publish(ctx, store) })
	if err != nil && errors.Is(err, ctx.Err()) {
		return stream.ErrAmbiguous
	}
	return err
}

// Reply implements allocator.Edges. It waits for nothing: the message leaves with others.
func (n natsOf) Reply(edge string, data []byte) error {
	n.by.reach("before-reply")
	if n.w.oneIn(n.by.sim.cfg.Lossy) {
		n.w.hit(CommittedUnreplied)
	} else {
		n.w.in(n.by.quick(), func() { n.by.sim.deliver(edge, data) })
	}
	n.by.reach("after-reply")
	return nil
}
