package rejection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/rejection"
)

// logText is a log's text, for any number of writers.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

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
			var log logText
			cache, err := rejection.Open(r.URL(), "edge", slog.New(slog.NewTextHandler(&log, nil)))
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

// The accounts that deployments/secrets.sh makes may do what their services do,
// the edge's no more.
func TestTheAccountsOfTheDeploymentSuffice(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	script, err := os.ReadFile("../../deployments/secrets.sh")
	if err != nil {
		t.Fatal(err)
	}
	r := backendstest.New(t, backendstest.WithOwnRedis).Redis
	s := openStore(t, r.URL())
	as := map[string]*store{}
	for _, line := range regexp.MustCompile(`"user (\w+) on >\$\w+ (.+)"`).FindAllStringSubmatch(string(script), -1) {
		args := []any{"ACL", "SETUSER", line[1], "on", ">secret"}
		for _, rule := range strings.Fields(line[2]) {
			args = append(args, rule)
		}
		s.set(t, args...)
		as[line[1]] = openStore(t, "redis://"+line[1]+":secret@"+r.Address())
	}
	if len(as) != 2 {
		t.Fatalf("%d accounts", len(as))
	}
	as["allocator"].learn(t, ours, allocation.Facts{Owners: owner(other), AtLimit: atLimit(other), SoldOut: true})
	if got := as["edge"].ask(t, purchase, checkout); got[0] != soldOut || got[1] != soldOut {
		t.Errorf("%v", got)
	}
	if err := as["edge"].cache.Forget(t.Context(), ours); !strings.Contains(fmt.Sprint(err), "NOPERM") {
		t.Errorf("an edge forgets: %v", err)
	}
	retry(t, "forget", func() error { return as["allocator"].cache.Forget(t.Context(), ours) })
}
