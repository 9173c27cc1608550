package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"notsale/pkg/boot"
	"notsale/pkg/telemetry"
)

// shell is what every process has: a registry, health and the operations
// listener.
//
// It is a module of its own, which comes first: what is invoked first stops
// last, so that an edge can still be observed while it drains.
func shell(s *settings) fx.Option {
	return fx.Module("shell",
		fx.Provide(
			telemetry.NewRegistry,
			func(r *prometheus.Registry) prometheus.Registerer { return r },
			func() *telemetry.Health { return &telemetry.Health{} },
			func() *readiness { return &readiness{} },
			func(r *prometheus.Registry, h *telemetry.Health, ready *readiness, log *slog.Logger) (*telemetry.Operations, error) {
				return telemetry.ListenOperations(context.Background(), s.opsListen, r, h, ready.check, log)
			},
		),
		fx.Invoke(func(r prometheus.Registerer) { r.MustRegister(s.logLines.Collector()) }),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, o *telemetry.Operations) {
			boot.Background(lc, down, log, "operations", func(ctx context.Context) error {
				context.AfterFunc(ctx, func() { _ = o.Stop(context.WithoutCancel(ctx)) })
				return o.Serve()
			})
		}),
		fx.Invoke(func(r *readiness, p readinessParams) { r.probes = p.Ready }), // which connect to the stores
	)
}

// stopTime bounds the stop of a process with an edge, which comes first and
// waits for the requests that have arrived.
func (s *settings) stopTime() fx.Option { return fx.StopTimeout(s.edge.StopTime() + boot.StopTimeout) }

// readiness is what the services of the process say of it. The listener is there
// before they are, so that one whose port is taken says so at once.
type readiness struct{ probes []telemetry.Probe }

type readinessParams struct {
	fx.In

	Ready []telemetry.Probe `group:"ready"`
}

func (r *readiness) check(ctx context.Context) error {
	errs := make([]error, 0, len(r.probes))
	for _, probe := range r.probes {
		errs = append(errs, probe(ctx))
	}
	return errors.Join(errs...)
}
