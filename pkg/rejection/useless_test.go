package rejection_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/rejection"
)

// says runs commands on a Redis, one a line.
func says(t *testing.T, address string, lines ...string) {
	t.Helper()
	raw := redis.NewClient(&redis.Options{Addr: address})
	defer raw.Close()
	for _, line := range lines {
		var args []any
		for _, word := range strings.Fields(line) {
			args = append(args, word)
		}
		retry(t, line, func() error { return raw.Do(t.Context(), args...).Err() })
	}
}

// listening opens a cache whose log can be read.
func listening(t *testing.T, cfg rejection.Config) (*rejection.Cache, *testlog.Log) {
	t.Helper()
	log := &testlog.Log{}
	cache, err := rejection.Open(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return cache, log
}

// A Redis that answers, but not what it is asked: the probe says so, one warning
// names why, a number moves, and nobody is refused.
func TestARedisThatAnswersNothingOfUse(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	for name, c := range map[string]struct {
		run func(t *testing.T) (address string)
		why string
	}{
		"a cluster without slots": {func(t *testing.T) string {
			t.Helper()
			return backendstest.RunRedis(t, "--cluster-enabled", "yes", "--cluster-port", "BUS").Address
		}, "CLUSTERDOWN"},
		"a cluster whose slots another has": {func(t *testing.T) string {
			t.Helper()
			one := backendstest.RunRedis(t, "--cluster-enabled", "yes", "--cluster-port", "BUS")
			other := backendstest.RunRedis(t, "--cluster-enabled", "yes", "--cluster-port", "BUS")
			says(t, one.Address, "CLUSTER ADDSLOTSRANGE 0 16383")
			says(t, other.Address, "CLUSTER MEET 127.0.0.1 "+one.Port+" "+one.Bus)
			raw := redis.NewClient(&redis.Options{Addr: other.Address})
			defer raw.Close()
			retry(t, "it knows who has the slots", func() error {
				if err := raw.Get(t.Context(), "x").Err(); err == nil || !strings.Contains(err.Error(), "MOVED") {
					return errors.Join(err, errors.New("want MOVED"))
				}
				return nil
			})
			return other.Address
		}, "MOVED"},
		"loading": {loading, "LOADING"},
		"an ACL without HMGET": {func(t *testing.T) string {
			t.Helper()
			address := backendstest.RunRedis(t).Address
			says(t, address, "ACL SETUSER default -hmget")
			return address
		}, "NOPERM"},
		"a password that it does not have": {func(t *testing.T) string {
			t.Helper()
			return "else:wrong@" + backendstest.RunRedis(t).Address
		}, "WRONGPASS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache, log := listening(t, rejection.Config{URL: "redis://" + c.run(t), Name: "edge"})
			retry(t, "the probe hears it", func() error {
				if err := cache.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), c.why) {
					return errors.Join(err, errors.New("want "+c.why))
				}
				return nil
			})
			for range 3 {
				retry(t, "refused", func() error {
					answers, err := cache.Ask(context.Background(), []rejection.Question{purchase})
					if answers[0].Reason != allocation.Granted {
						t.Errorf("%+v", answers)
					}
					if refused := redis.Error(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), c.why) {
						return errors.Join(err, errors.New("want "+c.why))
					}
					return nil
				})
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 || cache.Failures() < 3 || strings.Contains(log.String(), "wrong@") {
				t.Errorf("%d warnings, %d failures, want one, and 3 or more:\n%s", n, cache.Failures(), log)
			}
		})
	}
}

// loading starts a Redis that reads its data for as long as a test may last.
func loading(t *testing.T) (address string) {
	t.Helper()
	dir := t.TempDir()
	full := backendstest.RunRedis(t, "--dir", dir, "--enable-debug-command", "yes", "--rdbcompression", "no")
	says(t, full.Address, "DEBUG POPULATE 40000 notsale 1000", "SAVE")
	full.Kill()
	return backendstest.RunRedis(t, "--dir", dir, "--save", "", "--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024").Address
}

// Who runs Redis may take away what the cache can do without.
func TestARedisWithoutItsAdministrativeCommands(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	for _, gone := range [][]string{{"CLIENT"}, {"HELLO"}, {"CLIENT", "HELLO", "PING", "INFO", "COMMAND", "CONFIG", "SELECT"}} {
		t.Run(strings.Join(gone, " "), func(t *testing.T) {
			t.Parallel()
			args := []string{"--requirepass", "secret"}
			for _, command := range gone {
				args = append(args, "--rename-command", command, "")
			}
			address := backendstest.RunRedis(t, args...).Address
			s := &store{}
			var log *testlog.Log
			s.cache, log = listening(t, rejection.Config{URL: "redis://:secret@" + address, Name: "edge"})
			s.learn(t, ours, allocation.Facts{Owners: owner(other)})
			if got := s.ask(t, purchase); got[0] != taken {
				t.Errorf("%v", got)
			}
			retry(t, "probe", func() error { return s.cache.Probe(t.Context()) })
			if strings.Contains(log.String(), "ERR") {
				t.Errorf("it misses something:\n%s", log)
			}
		})
	}
}
