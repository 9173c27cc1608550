//go:build unix

package edge_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/effort"
	"notsale/pkg/rejection"
	"notsale/services/servicetest"
)

// command runs a command on the test's own Redis.
func (f *front) command(t *testing.T, text string) {
	t.Helper()
	options, err := redis.ParseURL(f.Redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	var args []any
	for _, word := range strings.Fields(text) {
		args = append(args, word)
	}
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// A Redis that answers, but is of no use: the sale goes on, one warning of each
// process says why it is slower, and a number moves.
func TestARedisThatIsOfNoUseStillSells(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	for name, c := range map[string]struct {
		spoil func(t *testing.T, f *front)
		url   func(t *testing.T, f *servicetest.Stage) string
	}{
		"a replica":           {spoil: func(t *testing.T, f *front) { t.Helper(); f.command(t, "REPLICAOF 127.0.0.1 1") }},
		"an ACL without HSET": {spoil: func(t *testing.T, f *front) { t.Helper(); f.command(t, "ACL SETUSER default -hset") }},
		"maxmemory 1mb, noeviction": {spoil: func(t *testing.T, f *front) {
			t.Helper()
			f.command(t, "CONFIG SET maxmemory-policy noeviction maxmemory 1mb")
		}},
		"a cluster without slots": {url: func(t *testing.T, _ *servicetest.Stage) string {
			t.Helper()
			return "redis://" + backendstest.RunRedis(t, "--cluster-enabled", "yes", "--cluster-port", "BUS").Address
		}},
		"behind a proxy, 20 ms away": {url: farRedis},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stage := servicetest.New(t, backendstest.WithOwnRedis)
			log := &testlog.Log{}
			stage.Log = slog.New(slog.NewTextHandler(log, nil))
			if c.url != nil {
				stage.RedisURL = c.url(t, stage)
			}
			f := frontOn(t, stage, nil)
			if c.spoil != nil {
				c.spoil(t, f)
			}
			of := f.OpenSale(5, 10)
			staff := f.Hire(t, "staff")
			for n := range 3 {
				text := f.code(f.Keys, of, of.FirstItem, servicetest.User(n), time.Hour)
				want := http.StatusConflict
				if n == 0 {
					want = http.StatusOK
				}
				expectation{status: want}.check(t, f.Purchase(t, text))
				expectation{status: want}.check(t, f.Purchase(t, text))
			}
			servicetest.Eventually(t, "a number moves", func() bool {
				return f.count(t, "notsale_edge_cache_failures_total")+staff.Count("notsale_allocator_cache_failures_total") > 0
			})
			if n := strings.Count(log.String(), "the rejection cache does not work"); n < 1 || n > 2 {
				t.Errorf("%d warnings, want one of each process that cannot use it:\n%s", n, log)
			}
		})
	}
}

// A Redis 20 ms away answers in time, once there is a connection, which takes
// several trips: allocators teach it, and edges ask it.
func TestARedisFarAwayIsUsed(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	stage := servicetest.New(t, backendstest.WithOwnRedis)
	stage.RedisURL = farRedis(t, stage)
	f := frontOn(t, stage, nil)
	of := f.OpenSale(50, 50)
	f.Allocate()
	far := f.Cache("looker")
	question := []rejection.Question{{Sale: of.UUID, Item: of.FirstItem, User: "bob"}}
	n := 0
	servicetest.Eventually(t, "it knows who owns the first item", func() bool {
		// What was decided while there was no connection is told by a later refusal.
		f.Purchase(t, f.code(f.Keys, of, of.FirstItem, servicetest.User(n), time.Hour))
		n++
		answers, err := far.Ask(t.Context(), question)
		return err == nil && answers[0].Reason == allocation.ItemTaken
	})
	servicetest.Eventually(t, "the edge's probe hears it", func() bool { return strings.Contains(string(f.Get(t, "/health").Body), `"redis":"ok"`) })
	missed := 0
	const asks = 50
	for range asks {
		if _, err := far.Ask(t.Context(), question); err != nil {
			missed++
		}
	}
	effort.Figure(t, fmt.Sprintf("of %d questions a Redis 20 ms away left unanswered", asks), missed, 0)
}

// farRedis is the way to Redis over a line that takes 20 ms.
func farRedis(t *testing.T, s *servicetest.Stage) string {
	t.Helper()
	u, err := url.Parse(s.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	way, err := proxy.New(u.Host, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	way.Slow(20*time.Millisecond, 0)
	u.Host, u.RawQuery = way.Address(), "" // with the patience of every day
	return u.String()
}
