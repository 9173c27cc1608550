package allocator

import (
	"log/slog"

	"go.uber.org/fx"

	"notsale/pkg/boot"
	"notsale/pkg/telemetry"
)

// Module runs an allocator as part of an fx application that provides its
// connections.
func Module(cfg Config) fx.Option {
	return fx.Module("allocator",
		fx.Supply(cfg),
		fx.Provide(fx.Private, New),
		fx.Provide(fx.Annotate(func(p *Process) telemetry.Probe { return p.Ready }, fx.ResultTags(`group:"ready"`))),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, p *Process) {
			boot.Background(lc, down, log, "allocator", p.Run)
		}),
	)
}
