package edge

import (
	"log/slog"

	"go.uber.org/fx"

	"notsale/pkg/boot"
	"notsale/pkg/telemetry"
)

// Module runs an edge as part of an fx application that provides its
// connections and keys.
func Module(cfg Config) fx.Option {
	return fx.Module("edge",
		fx.Supply(cfg),
		fx.Provide(New, fx.Annotate(func(e *Edge) telemetry.Probe { return e.Ready }, fx.ResultTags(`group:"ready"`))),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, e *Edge) {
			lc.Append(fx.StartHook(e.Listen))
			boot.Background(lc, down, log, "edge", e.Run)
		}),
	)
}
