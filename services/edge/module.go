package edge

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"notsale/pkg/boot"
	"notsale/pkg/telemetry"
)

// Module runs an edge as part of an fx application that provides its
// connections, and follows the file of its keys.
func Module(cfg Config, keys *KeyFile) fx.Option {
	return fx.Module("edge",
		fx.Supply(cfg, keys.ring),
		fx.Provide(New, fx.Annotate(func(e *Edge) telemetry.Probe { return e.Ready }, fx.ResultTags(`group:"ready"`))),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, e *Edge) {
			lc.Append(fx.StartHook(e.Listen))
			boot.Background(lc, down, log, "edge", e.Run)
		}),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, r prometheus.Registerer, e *Edge) {
			r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "notsale_code_keys_unusable", Help: "1 while the file of the code keys cannot be used; the keys known before are.",
			}, keys.unusable))
			boot.Background(lc, down, log, "code keys", func(ctx context.Context) error { return keys.watch(ctx, e.UseKeys, log) })
		}),
	)
}
