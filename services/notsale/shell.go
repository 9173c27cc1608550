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
// last, so that an edge that drains can still be looked at.
func shell(s *settings) fx.Option {
	return fx.Module("shell",
		fx.Provide(
			telemetry.NewRegistry,
			func(r *prometheus.Registry) prometheus.Registerer { return r },
			func() *telemetry.Health { return &telemetry.Health{} },
			func(p operationsParams) (*telemetry.Operations, error) {
				return telemetry.ListenOperations(context.Background(), s.opsListen, p.Registry, p.Health, p.ready, p.Log)
			},
		),
		fx.Invoke(func(r prometheus.Registerer) { r.MustRegister(s.logLines.Collector()) }),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, o *telemetry.Operations) {
			boot.Background(lc, down, log, "operations", func(ctx context.Context) error {
				context.AfterFunc(ctx, func() { _ = o.Stop(context.WithoutCancel(ctx)) })
				return o.Serve()
			})
		}),
	)
}

// stopTime bounds the stop of a process with an edge, which comes first and
// waits for the requests that have arrived.
func (s *settings) stopTime() fx.Option { return fx.StopTimeout(s.edge.StopTime() + boot.StopTimeout) }

type operationsParams struct {
	fx.In

	Registry *prometheus.Registry
	Health   *telemetry.Health
	Log      *slog.Logger
	Ready    []telemetry.Probe `group:"ready"`
}

// ready joins what the services of the process say.
func (p operationsParams) ready(ctx context.Context) error {
	errs := make([]error, 0, len(p.Ready))
	for _, probe := range p.Ready {
		errs = append(errs, probe(ctx))
	}
	return errors.Join(errs...)
}
