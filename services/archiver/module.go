package archiver

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"notsale/pkg/boot"
	"notsale/pkg/ledger"
	"notsale/pkg/stream"
)

// Module runs an archiver of this name as part of an fx application that provides
// its connections, which may remove streams.
func Module(cfg Config, name string) fx.Option {
	return fx.Module("archiver",
		fx.Provide(fx.Private, func(l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Archiver, error) {
			return New(cfg, name, l, s, log, reg)
		}),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, a *Archiver) {
			boot.Background(lc, down, log, "archiver", a.Run)
		}),
	)
}
