package scheduler

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/stream"
)

// Process is a scheduler on goroutines and open connections, which stay the
// caller's.
type Process struct {
	*Scheduler

	host *host.Real
}

// New returns a scheduler's process.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Process, error) {
	h := &host.Real{}
	one, err := On(cfg, portsOf(l, s), h, log, reg)
	if err != nil {
		return nil, err
	}
	return &Process{one, h}, nil
}

// Run schedules until ctx ends, or NATS's store is another installation's:
// stream.ErrForeign.
func (p *Process) Run(ctx context.Context) error {
	defer p.host.Join()
	return p.Schedule(ctx)
}

func portsOf(l *ledger.Ledger, s *stream.Client) Ports {
	return Ports{Ledger: l, Rows: l, Removed: l, Store: store{s}, Streams: s, Parts: s, Renewal: s, Space: s, Sizes: s}
}

// store is that of a client.
type store struct{ *stream.Client }

// Directory implements Store.
func (s store) Directory(ctx context.Context) (Directory, error) { return s.MakeDirectory(ctx) }
