package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"go.uber.org/fx"

	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/stream"
	"notsale/pkg/telemetry"
)

// role is a service with connections of its own: an allocator's database
// sessions carry its name, by which a successor ends them.
func role(name string, s *settings, service fx.Option) fx.Option {
	instance := instanceName(name)
	return fx.Module(name+"-process",
		fx.Provide(
			fx.Private,
			func(lc fx.Lifecycle) (*ledger.Ledger, error) {
				conns, err := s.conns(name)
				if err != nil {
					return nil, err
				}
				l, err := ledger.Open(context.Background(), ledger.Config{URL: s.databaseURL, Name: instance, Conns: conns, ReadOnly: name == "edge"})
				if err != nil {
					return nil, err
				}
				lc.Append(fx.Hook{OnStart: waitForLedger(l), OnStop: func(context.Context) error { l.Close(); return nil }})
				return l, nil
			},
			func(lc fx.Lifecycle, log *slog.Logger) (*stream.Client, error) {
				ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
				defer cancel()
				cfg := s.stream
				cfg.URL, cfg.Name, cfg.Role = s.natsURL, instance, name
				c, err := stream.Connect(ctx, cfg, log)
				if err != nil {
					return nil, err
				}
				lc.Append(fx.StopHook(c.Close))
				return c, nil
			},
			func(lc fx.Lifecycle, log *slog.Logger) (*rejection.Cache, error) {
				c, err := rejection.Open(s.cache(instance), log)
				if err != nil {
					return nil, err
				}
				lc.Append(fx.StopHook(c.Close))
				return c, nil
			},
		),
		fx.Provide(fx.Annotate(func(st *stream.Client) telemetry.Probe {
			return func(context.Context) error { return st.Trouble() }
		}, fx.ResultTags(`group:"ready"`))),
		fx.Invoke(func(lc fx.Lifecycle, log *slog.Logger, st *stream.Client) {
			on, stop := context.WithCancel(context.Background())
			lc.Append(fx.StartStopHook(s.verifyNATS(on, log, st), stop))
		}),
		fx.Invoke(func(lc fx.Lifecycle, log *slog.Logger, l *ledger.Ledger, st *stream.Client) {
			if name != "scheduler" { // which makes the directory, and claims it
				lc.Append(fx.StartHook(waitForDirectory(log, l, st)))
			}
		}),
		s.health(),
		service,
	)
}

// health is that of the stores that the process has a URL of.
func (s *settings) health() fx.Option {
	probes := func(h *telemetry.Health, l *ledger.Ledger, redis func(context.Context) error, st *stream.Client) {
		if !h.Empty() { // in `up` the roles share one health
			return
		}
		h.Add("database", l.Ping)
		if redis != nil {
			h.Add("redis", redis)
		}
		h.Add("nats", st.Ping)
	}
	if s.redisURL == "" {
		return fx.Invoke(func(h *telemetry.Health, l *ledger.Ledger, st *stream.Client) { probes(h, l, nil, st) })
	}
	return fx.Invoke(func(h *telemetry.Health, l *ledger.Ledger, c *rejection.Cache, st *stream.Client) {
		probes(h, l, c.Probe, st)
	})
}

// tryPause is the time between two tries to reach a store.
const tryPause = 200 * time.Millisecond

// until tries until it succeeds, or fails with one of these errors, which only a
// person mends, or ctx ends.
func until(ctx context.Context, pause time.Duration, try func(context.Context) error, lasting ...error) error {
	for {
		err := try(ctx)
		if err == nil || slices.ContainsFunc(lasting, func(one error) bool { return errors.Is(err, one) }) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// waitForLedger waits until the database answers, can be written where that is
// needed, and has been migrated.
func waitForLedger(l *ledger.Ledger) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		if err := until(ctx, tryPause, l.CheckSchema, ledger.ErrUnfit, ledger.ErrSchema); err != nil {
			return fmt.Errorf("DATABASE_URL: %w", err)
		}
		return nil
	}
}

// verifyNATS refuses a NATS that may lose what it has acknowledged, where it can
// be asked, and says once that it cannot be where not. Servers that are down are
// asked later, until on ends.
func (s *settings) verifyNATS(on context.Context, log *slog.Logger, st *stream.Client) func(context.Context) error {
	verify := func(ctx context.Context) error { return st.Verify(ctx, s.natsMonitor) }
	return func(ctx context.Context) error {
		if s.natsVerified {
			return nil
		}
		if s.natsMonitor == "" {
			log.Warn("it was not verified that NATS syncs every write before it acknowledges it: set sync_interval: always there, and give --nats-monitor here")
			s.natsVerified = true
			return nil
		}
		err := until(ctx, tryPause, verify, stream.ErrUnverified, stream.ErrNotDurable, stream.ErrMonitorURL)
		if errors.Is(err, stream.ErrUnverified) {
			log.Warn("some of NATS's servers are verified later", "error", err)
			go verifyLater(on, log, verify)
			err = nil
		}
		s.natsVerified = err == nil
		return err
	}
}

// verifyLater asks again until every server could be asked, or on ends.
func verifyLater(on context.Context, log *slog.Logger, verify func(context.Context) error) {
	const pause = 2 * time.Second
	switch err := until(on, pause, verify, stream.ErrNotDurable); {
	case err == nil:
		log.Info("all of NATS's servers are verified")
	case errors.Is(err, stream.ErrNotDurable):
		log.Error("ALARM", "kind", "not-durable", "error", err, "do", "mend that server before it leads a stream: what it acknowledges may be lost")
	}
}

// waitForDirectory waits for a scheduler to make the directory of sales, and
// refuses to work with that of another database.
func waitForDirectory(log *slog.Logger, l *ledger.Ledger, st *stream.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		told := false
		return until(ctx, tryPause, func(ctx context.Context) error {
			err := sameInstallation(ctx, l, st)
			if err != nil && !errors.Is(err, stream.ErrForeign) && !told {
				level := slog.LevelWarn
				if errors.Is(err, stream.ErrNoDirectory) {
					level = slog.LevelInfo
				}
				log.Log(ctx, level, "waiting for the directory of sales", "error", err)
				told = true
			}
			return err
		}, stream.ErrForeign)
	}
}

// sameInstallation refuses to work with the streams of another database.
func sameInstallation(ctx context.Context, l *ledger.Ledger, st *stream.Client) error {
	id, err := l.Installation(ctx)
	if err != nil {
		return err
	}
	directory, err := st.Directory(ctx)
	if err != nil {
		return err
	}
	return directory.Check(ctx, id)
}

// instanceName names a process for NATS, Postgres and Redis, unlike any other,
// in at most 63 bytes (PostgreSQL's NAMEDATALEN).
func instanceName(role string) string {
	host, _ := os.Hostname()
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return fmt.Sprintf("notsale-%s-%.24s-%s", role, host, hex.EncodeToString(b[:]))
}
