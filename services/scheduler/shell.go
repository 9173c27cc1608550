package scheduler

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/stream"
)

// New returns a scheduler on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	sc, err := On(cfg, l, nats{s}, log, reg)
	if err != nil {
		return nil, err
	}
	sc.atOnce = putsAtOnce
	sc.keeper = &keeper{cfg: cfg, ledger: l, streams: s, log: log, alarms: sc.alarms}
	sc.keeper.reserved = prometheus.NewGauge(prometheus.GaugeOpts{Name: "notsale_scheduler_store_reserved_ratio", Help: "Part of the stream store that is reserved."})
	reg.MustRegister(sc.keeper.reserved)
	return sc, nil
}

// nats is the real Streams.
type nats struct{ *stream.Client }

func (n nats) Directory(ctx context.Context) (Directory, error) { return n.MakeDirectory(ctx) }
