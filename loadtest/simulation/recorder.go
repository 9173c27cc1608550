package simulation

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/follow"
	"notsale/pkg/wire"
	"notsale/services/recorder"
)

// record runs a recorder.
func record(p *process) {
	l := bookOf{p.sim.book, p.name, p}
	r, err := recorder.On(recorder.DefaultConfig(), recorder.Ports{Ledger: l, Known: l, Streams: attemptStreams{natsOf{p.sim.broker, p}}},
		simulated{p}, p.log(), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	p.spawn(func() { r.Record(context.Background()) })
}

// attemptStreams are the streams of attempts as a recorder sees them.
type attemptStreams struct{ natsOf }

func (n attemptStreams) Of(of wire.AttemptStream) follow.Stream {
	return streamPort{n.natsOf, func() *streamOf { return n.attempts[of.Sale] }}
}

func (n attemptStreams) Clean(context.Context, wire.AttemptStream) error { return nil }

func (n attemptStreams) Watch(ctx context.Context, update func(wire.Entry)) error {
	return n.natsOf.Watch(ctx, update, func() {})
}
