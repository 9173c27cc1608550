package scheduler

import (
	"log/slog"

	"go.uber.org/fx"

	"notsale/pkg/boot"
)

// Module runs a scheduler as part of an fx application that provides its
// connections.
func Module(cfg Config) fx.Option {
	return fx.Module("scheduler",
		fx.Supply(cfg),
		fx.Provide(fx.Private, New),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, p *Process) {
			boot.Background(lc, down, log, "scheduler", p.Run)
		}),
	)
}
