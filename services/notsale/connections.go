package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
				l, err := ledger.Open(context.Background(), ledger.Config{URL: s.databaseURL, Name: instance, Conns: ledger.DefaultConns})
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
				cfg.URL, cfg.Name = s.natsURL, instance
				c, err := stream.Connect(ctx, cfg, log)
				if err != nil {
					return nil, err
				}
				lc.Append(fx.StopHook(c.Close))
				return c, nil
			},
			func(lc fx.Lifecycle, log *slog.Logger) (*rejection.Cache, error) {
				c, err := rejection.Open(s.redisURL, instance, log)
				if err != nil {
					return nil, err
				}
				lc.Append(fx.StopHook(c.Close))
				return c, nil
			},
		),
		fx.Invoke(func(lc fx.Lifecycle, l *ledger.Ledger, st *stream.Client) {
			lc.Append(fx.StartHook(sameInstallation(l, st)))
		}),
		fx.Invoke(func(h *telemetry.Health, l *ledger.Ledger, st *stream.Client, c *rejection.Cache) {
			if h.Empty() { // in `up` the roles share one health
				h.Add("database", l.Ping)
				h.Add("redis", c.Ping)
				h.Add("nats", st.Ping)
			}
		}),
		service,
	)
}

// waitForLedger waits until the database answers and has been migrated.
func waitForLedger(l *ledger.Ledger) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		for {
			_, err := l.Installation(ctx)
			if err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("DATABASE_URL: %w", errors.Join(err, ctx.Err()))
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
}

// sameInstallation refuses to work with the streams of another database.
func sameInstallation(l *ledger.Ledger, st *stream.Client) func(context.Context) error {
	return func(ctx context.Context) error {
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
}

// instanceName names a process for NATS, Postgres and Redis, unlike any other,
// in at most 63 bytes (PostgreSQL's NAMEDATALEN).
func instanceName(role string) string {
	host, _ := os.Hostname()
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return fmt.Sprintf("notsale-%s-%.24s-%s", role, host, hex.EncodeToString(b[:]))
}
