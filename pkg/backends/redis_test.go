//go:build unix

package backends

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func startRedis(t *testing.T, cfg Config) *Redis {
	t.Helper()
	cfg.Data = newData(t)
	r, err := StartRedis(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, r.Stop) })
	return r
}

func TestRedisFaults(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		r := startRedis(t, Config{InProcessRedis: inProcess})
		address := r.Address()
		client := redisClient(t, r.URL())
		if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
		if err := ping(t.Context(), r); err == nil {
			t.Error("a killed Redis answers")
		}
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := client.DBSize(t.Context()).Result()
		if err != nil || n != 0 || r.Address() != address {
			t.Errorf("%d keys (%v) on %s, want 0 on %s", n, err, r.Address(), address)
		}
	}
}

// ping dials first: the client would log each refused connection.
func ping(ctx context.Context, r *Redis) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Address())
	if err != nil {
		return err
	}
	return errors.Join(conn.Close(), r.ping(ctx))
}

func TestRedisPauses(t *testing.T) {
	r := startRedis(t, Config{})
	if r.InProcess() {
		t.Skip("redis-server is not installed: install it to run this test")
	}
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.ping(ctx); err == nil {
		t.Error("a paused Redis answers")
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := r.ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStandInForRedis(t *testing.T) {
	b := start(t, Config{
		Data: newData(t), InProcessRedis: true,
		DatabaseURL: "postgres://elsewhere", NATSURL: "nats://elsewhere",
	})
	if part := b.Parts()[1]; part.Note != MiniredisNote || part.Version != "miniredis" {
		t.Errorf("%+v", part)
	}
	if err := redisClient(t, b.RedisURL()).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	if err := b.redis.Pause(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("pause: %v", err)
	}
}

// A store that is started again says that another program has taken its port.
func TestPortsTaken(t *testing.T) {
	in := func() Config { return Config{Data: newSeeded(t), Ephemeral: true} }
	starts := map[string]func() (restartable, error){
		"postgres": func() (restartable, error) { return StartPostgres(t.Context(), in(), discard()) },
		"redis":    func() (restartable, error) { return StartRedis(t.Context(), in(), discard()) },
		"miniredis": func() (restartable, error) {
			return StartRedis(t.Context(), Config{Data: newData(t), InProcessRedis: true}, discard())
		},
		"nats": func() (restartable, error) { return StartNATS(t.Context(), in(), discard()) },
	}
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			s, err := start()
			if err != nil {
				t.Fatal(err)
			}
			stop(t, s.Stop)
			taken, err := net.Listen("tcp", s.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = taken.Close() }()
			err = s.Restart(t.Context())
			if !errors.Is(err, errPortTaken) {
				t.Errorf("got %v, want that the port is taken", err)
			}
		})
	}
}

// restartable is what the three stores have in common.
type restartable interface {
	Address() string
	Stop(ctx context.Context) error
	Restart(ctx context.Context) error
}
