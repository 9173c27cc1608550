package simulation

import (
	"context"
	"time"

	"notsale/pkg/follow"
	"notsale/pkg/stream"
)

// streamPort is a stream as a service's code follows it.
type streamPort struct {
	natsOf

	of func() *streamOf // nil: it is not there
}

// ask makes a call about the stream; stream.ErrLost: it is not there.
func ask[T any](ctx context.Context, s streamPort, name string, do func(of *streamOf) (T, error)) (T, error) {
	return read(ctx, s.natsOf, name, func() (none T, err error) {
		if of := s.of(); of != nil {
			return do(of)
		}
		return none, stream.ErrLost
	})
}

// Info implements follow.Stream.
func (s streamPort) Info(ctx context.Context) (stream.Info, error) {
	return ask(ctx, s, "info", func(of *streamOf) (stream.Info, error) {
		return stream.Info{Created: of.created, Last: uint64(len(of.messages))}, nil
	})
}

// Message implements follow.Stream.
func (s streamPort) Message(ctx context.Context, sequence uint64) (stream.Message, error) {
	return ask(ctx, s, "message", func(of *streamOf) (stream.Message, error) {
		if sequence > uint64(len(of.messages)) {
			return stream.Message{}, stream.ErrLost
		}
		return of.messages[sequence-1], nil
	})
}

// Read implements follow.Stream.
func (s streamPort) Read(ctx context.Context, from uint64) (follow.Reader, error) {
	return ask(ctx, s, "read", func(of *streamOf) (follow.Reader, error) { return &reader{s.natsOf, of, from, s.session}, nil })
}

// reader delivers a stream's messages, as long as its session lasts. Beyond
// the end of a stream that was cut it waits for ever, as NATS does.
type reader struct {
	natsOf

	of      *streamOf
	next    uint64
	session int
}

// Next implements follow.Reader.
func (r *reader) Next(ctx context.Context, most int, patience time.Duration) ([]stream.Message, error) {
	for until := r.w.until(patience); r.session == r.broker.session && r.next > uint64(len(r.of.messages)); {
		if ctx.Err() != nil || r.w.now >= until {
			return nil, ctx.Err()
		}
		r.w.await(ctx, until, r.of.waiting.add)
	}
	r.w.sleep(ctx, r.by.quick())
	if r.session != r.broker.session {
		return nil, r.away
	}
	n := min(uint64(len(r.of.messages)), r.next+uint64(r.w.rng.IntN(min(most, 8))))
	messages := r.of.messages[r.next-1 : n : n]
	r.next = n + 1
	return messages, nil
}

// Stop implements follow.Reader.
func (r *reader) Stop() {}
