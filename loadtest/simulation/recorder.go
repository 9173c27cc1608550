package simulation

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/follow"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/recorder"
)

// recorderProcess is one recorder.
type recorderProcess struct {
	process

	sim *simulation
}

func (r *recorderProcess) boot() {
	r.start()
	c := calls{&r.process, r.sim, "recorder", r.boot}
	one, err := recorder.On(recorder.DefaultConfig(), recorder.Ports{Ledger: recorderLedger{c}, Known: recorderLedger{c}, Streams: recorderStreams{c}},
		simulated{&r.process}, slog.New(&alarms{sim: r.sim}), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	r.spawn(func() { one.Record(context.Background()) })
}

// recorderLedger is the ledger as a recorder sees it.
type recorderLedger struct{ calls }

func (r recorderLedger) AttemptCursor(ctx context.Context, of wire.AttemptStream) (ledger.AttemptCursor, error) {
	return statement(ctx, r.calls, "attempt-cursor", func() (ledger.AttemptCursor, error) { return r.sim.book.AttemptCursor(ctx, of) })
}

func (r recorderLedger) RecordAttempts(ctx context.Context, of wire.AttemptStream, from, to ledger.AttemptCursor, attempts []ledger.RecordedAttempt) (int64, error) {
	return statement(ctx, r.calls, "record-attempts", func() (int64, error) { return r.sim.book.record(of, from, to, attempts) })
}

func (r recorderLedger) ReopenAttempts(context.Context, wire.AttemptStream, ledger.AttemptCursor, sale.Instant) error {
	panic("no stream of attempts is lost here")
}

func (r recorderLedger) Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error) {
	return statement(ctx, r.calls, "sale", func() (ledger.SaleRow, error) { return bookOf{r.sim.book, ""}.Sale(ctx, id) })
}

func (r recorderLedger) UnsoldParts(ctx context.Context) ([]ledger.UnsoldPart, error) {
	return statement(ctx, r.calls, "unsold-parts", func() ([]ledger.UnsoldPart, error) { return r.sim.book.UnsoldParts(ctx) })
}

// recorderStreams are the streams of attempts as a recorder sees them.
type recorderStreams struct{ calls }

func (r recorderStreams) Of(of wire.AttemptStream) follow.Stream {
	return streamPort{r.calls, func() *streamOf { return r.sim.broker.attempts[of.Sale] }}
}

func (r recorderStreams) UnsoldParts(ctx context.Context) ([]int, error) {
	return port(ctx, r.calls, "unsold-parts", func() ([]int, error) { return []int{0}, r.sim.broker.answers() })
}

func (r recorderStreams) Clean(context.Context, wire.AttemptStream) error { return nil }

func (r recorderStreams) Watch(ctx context.Context, update func(wire.Entry)) error {
	return r.directory(ctx, update, func() {})
}

// The ledger's part.

// AttemptCursor is how far a stream of attempts is recorded.
func (b *book) AttemptCursor(_ context.Context, of wire.AttemptStream) (ledger.AttemptCursor, error) {
	if !b.up() {
		return ledger.AttemptCursor{}, errAway
	}
	at, known := b.recorded[of]
	if !known {
		return at, ledger.ErrNotFound
	}
	return at, nil
}

var errHole = errors.New("simulated: attempts were recorded out of their order")

// record is the one statement of a recorder.
func (b *book) record(of wire.AttemptStream, from, to ledger.AttemptCursor, attempts []ledger.RecordedAttempt) (stored int64, err error) {
	if !b.up() {
		return 0, errAway
	}
	if at, known := b.recorded[of]; known && at != from || !known && from.Sequence > 0 {
		return 0, ledger.ErrMoved
	}
	if to.Sequence <= from.Sequence {
		return 0, errHole
	}
	b.recorded[of] = to
	for _, a := range attempts {
		if _, repeated := b.attempts[a.ID]; repeated {
			b.w.hit(RecorderRepeated)
			continue
		}
		b.attempts[a.ID] = a
		stored++
	}
	return stored, nil
}
