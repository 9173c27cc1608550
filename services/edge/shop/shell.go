package shop

import (
	"context"
	"crypto/rand"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// New returns a shop on open connections, which stay the caller's.
func New(cfg Config, keys *code.Keyring, l *ledger.Ledger, s *stream.Client, c *rejection.Cache, h *host.Real, log *slog.Logger, reg prometheus.Registerer) (*Shop, error) {
	return On(cfg, keys, Ports{Cache: c, Ledger: l, Publisher: s, Directory: watched{s}, Random: rand.Reader}, h, log, reg)
}

// watched is the directory of a client.
type watched struct{ *stream.Client }

// Watch implements Directory.
func (w watched) Watch(ctx context.Context, put func(wire.Entry), listed func()) error {
	d, err := w.Directory(ctx)
	if err != nil {
		return err
	}
	return d.Watch(ctx, put, listed)
}
