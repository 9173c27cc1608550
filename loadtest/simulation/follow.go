package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"notsale/pkg/follow"
	"notsale/pkg/host"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// streamPort is a stream as a service's code follows it.
type streamPort struct {
	calls

	of func() *streamOf // nil: it is not there
}

// Info implements follow.Stream.
func (s streamPort) Info(ctx context.Context) (stream.Info, error) {
	return port(ctx, s.calls, "info", func() (stream.Info, error) {
		of := s.of()
		switch {
		case !s.sim.broker.up():
			return stream.Info{}, errBroker
		case of == nil:
			return stream.Info{}, stream.ErrLost
		}
		return stream.Info{Created: of.created, Last: uint64(len(of.messages))}, nil
	})
}

// Message implements follow.Stream.
func (s streamPort) Message(ctx context.Context, sequence uint64) (stream.Message, error) {
	return port(ctx, s.calls, "message", func() (stream.Message, error) {
		of := s.of()
		switch {
		case !s.sim.broker.up():
			return stream.Message{}, errBroker
		case of == nil || sequence > uint64(len(of.messages)):
			return stream.Message{}, stream.ErrLost
		}
		return of.messages[sequence-1], nil
	})
}

// Read implements follow.Stream.
func (s streamPort) Read(ctx context.Context, from uint64) (follow.Reader, error) {
	return port(ctx, s.calls, "read", func() (follow.Reader, error) {
		of := s.of()
		switch {
		case !s.sim.broker.up():
			return nil, errBroker
		case of == nil:
			return nil, stream.ErrLost
		}
		return &reader{s.calls, of, from, s.sim.broker.session}, nil
	})
}

// reader delivers a stream's messages, as long as its session lasts. One whose
// position lies beyond the end of a shortened stream waits for ever, silently.
type reader struct {
	calls

	of      *streamOf
	next    uint64
	session int
}

// Next implements follow.Reader.
func (r *reader) Next(ctx context.Context, most int, patience time.Duration) ([]stream.Message, error) {
	for until := r.w.until(patience); r.session == r.sim.broker.session && r.next > uint64(len(r.of.messages)); {
		if ctx.Err() != nil || r.w.now >= until {
			return nil, ctx.Err()
		}
		r.w.await(ctx, until, func(wake func()) { r.of.waiting = append(r.of.waiting, wake) })
	}
	r.w.sleep(ctx, r.quick())
	if r.session != r.sim.broker.session {
		return nil, errBroker
	}
	n := min(uint64(len(r.of.messages)), r.next+uint64(r.w.rng.IntN(min(most, 8))))
	messages := r.of.messages[r.next-1 : n : n]
	r.next = n + 1
	return messages, nil
}

// Stop implements follow.Reader.
func (r *reader) Stop() {}

// directory tells what the directory has, and all of it again each time that it
// changes, until the session ends; listed: once it was told for the first time.
func (c calls) directory(ctx context.Context, update func(wire.Entry), listed func()) error {
	b := c.sim.broker
	_, err := port(ctx, c, "watch", func() (struct{}, error) { return struct{}{}, b.answers() })
	if err != nil {
		return err
	}
	if c.w.oneIn(4) { // it comes late: who asks meanwhile has the ledger asked
		c.w.sleep(ctx, c.w.between(0, time.Second))
	}
	changed := simulated{c.process}.Inbox()
	c.watch(b, func() { changed.Put(nil) })
	for session := b.session; session == b.session; {
		for _, id := range slices.Sorted(maps.Keys(b.listed)) {
			update(b.listed[id])
		}
		listed()
		if _, ok := changed.Take(ctx, host.Forever); !ok {
			return ctx.Err()
		}
	}
	return errBroker
}
