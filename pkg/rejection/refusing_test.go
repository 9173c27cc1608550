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

// A Redis that answers, but refuses to write: it is read on, one warning says
// so, and a number moves.
func TestARedisThatRefusesToWrite(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	for name, commands := range map[string][]string{
		"a replica":               {"REPLICAOF 127.0.0.1 1"},
		"an ACL without HSET":     {"ACL SETUSER default -hset"},
		"maxmemory, noeviction":   {"CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1mb"},
		"writes stop without AOF": {"CONFIG SET min-replicas-to-write 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := backendstest.New(t, backendstest.WithOwnRedis).Redis
			s := openStore(t, r.URL())
			s.learn(t, ours, allocation.Facts{Owners: owner(other)})
			var log testlog.Log
			cache, err := rejection.Open(rejection.Config{URL: r.URL(), Name: "edge"}, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cache.Close() })
			for _, c := range commands {
				args := make([]any, 0, 5)
				for _, word := range strings.Fields(c) {
					args = append(args, word)
				}
				s.set(t, args...)
			}
			for range 3 {
				retry(t, "refused", func() error {
					_, err := cache.Learn(context.Background(), ours, mark, mark, &allocation.Facts{Owners: elsewhere})
					var refused redis.Error
					if errors.As(err, &refused) {
						return nil
					}
					return errors.Join(err, errors.New("want what Redis says"))
				})
				var got []rejection.Answer
				retry(t, "ask", func() (err error) {
					got, err = cache.Ask(context.Background(), []rejection.Question{purchase})
					return err
				})
				if got[0].Reason != taken {
					t.Errorf("it is not read any more: %+v", got)
				}
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 || cache.Failures() < 3 {
				t.Errorf("%d warnings, %d failures, want one, and 3 or more:\n%s", n, cache.Failures(), log.String())
			}
		})
	}
}
