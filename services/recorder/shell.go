package recorder

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/follow"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Process is a recorder on goroutines and open connections, which stay the
// caller's.
type Process struct {
	*Recorder

	host *host.Real
}

// New returns a recorder's process.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Process, error) {
	h := &host.Real{}
	r, err := On(cfg, Ports{Ledger: l, Known: l, Streams: streams{s, l}}, h, log, reg)
	if err != nil {
		return nil, err
	}
	return &Process{r, h}, nil
}

// Run records until ctx ends.
func (p *Process) Run(ctx context.Context) error {
	defer p.host.Join()
	p.Record(ctx)
	return nil
}

// streams are those of a client.
type streams struct {
	*stream.Client

	ledger *ledger.Ledger
}

// Clean implements Streams.
func (s streams) Clean(ctx context.Context, of wire.AttemptStream) error {
	return errors.Join(s.DeleteOldRecorder(ctx, of), s.ledger.ForgetMark(ctx, of.Sale))
}

// Of implements Streams.
func (s streams) Of(of wire.AttemptStream) follow.Stream { return follow.Attempts(s.Client, of) }

// Watch implements Streams.
func (s streams) Watch(ctx context.Context, update func(wire.Entry)) error {
	directory, err := s.Directory(ctx)
	if err != nil {
		return err
	}
	return directory.Watch(ctx, update, func() {})
}
