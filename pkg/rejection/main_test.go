package rejection_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(backendstest.Runner{M: m}) }

// patience is how long a test waits for what must happen soon.
const patience = effort.Patience

// store is a Redis of one test with a cache on it, and a client that looks past
// the cache.
type store struct {
	cache *rejection.Cache
	raw   *redis.Client
}

func openStore(t *testing.T, url string) *store {
	t.Helper()
	cache, err := rejection.Open(rejection.Config{URL: url, Name: "edge-test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	raw := redis.NewClient(options)
	t.Cleanup(func() { _ = raw.Close() })
	return &store{cache: cache, raw: raw}
}

// implementations are what may stand behind REDIS_URL. Each call starts or
// shares a server and gives an empty key space of it.
var implementations = map[string]func(t *testing.T) *store{
	"redis-server": func(t *testing.T) *store {
		t.Helper()
		backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
		return openStore(t, patiently(backendstest.New(t).RedisURL))
	},
	"miniredis": func(t *testing.T) *store {
		t.Helper()
		return openStore(t, patiently(startMiniredis(t).URL()))
	},
}

// patiently is a URL with the patience of a test that shares its machine: ours is
// for shoppers.
func patiently(url string) string {
	join := "?"
	if strings.Contains(url, join) {
		join = "&"
	}
	return url + join + "read_timeout=" + patience.String()
}

// startMiniredis starts the in-process stand-in.
func startMiniredis(t *testing.T) *backends.Redis {
	t.Helper()
	dir, err := os.MkdirTemp("", "notsale-rejection-*") // t.TempDir is out of bounds for root's children
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r, err := backends.StartRedis(t.Context(), backends.Config{Data: dir, Ephemeral: true, InProcessRedis: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// onEach runs a test once per implementation.
func onEach(t *testing.T, test func(t *testing.T, s *store)) {
	t.Helper()
	for name, open := range implementations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// tb is a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// retry tries until there is no error: on a busy machine a round trip may take
// longer than the cache waits, and then it is left alone for a while.
func retry(t tb, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (s *store) learn(t tb, id sale.UUID, f allocation.Facts) {
	t.Helper()
	retry(t, "learn", func() error {
		from, err := s.cache.Mark(context.Background(), id)
		if err == nil {
			_, err = s.cache.Learn(context.Background(), id, from, mark, &f)
		}
		return err
	})
}

func (s *store) ask(t tb, questions ...rejection.Question) (reasons []allocation.Reason) {
	t.Helper()
	retry(t, "ask", func() error {
		answers, err := s.cache.Ask(context.Background(), questions)
		reasons = reasonsOf(answers)
		return err
	})
	return reasons
}

func reasonsOf(answers []rejection.Answer) []allocation.Reason {
	reasons := make([]allocation.Reason, len(answers))
	for i := range answers {
		reasons[i] = answers[i].Reason
	}
	return reasons
}

func (s *store) set(t *testing.T, command ...any) {
	t.Helper()
	retry(t, "set", func() error { return s.raw.Do(t.Context(), command...).Err() })
}

// none is no mark.
var none rejection.Mark

// mark is of some commit.
var mark = rejection.Mark{Generation: 1, Sequence: 2, Chain: allocation.Hash{3}}

var (
	ours, theirs = sale.UUID{1}, sale.UUID{2}         // two sales
	mine, other  = code.ID{0xaa, 1}, code.ID{0xbb, 2} // two codes
)

// purchase and checkout are ann's questions about item 7 of our sale.
var (
	purchase = rejection.Question{Sale: ours, Item: 7, User: "ann", Code: mine}
	checkout = rejection.Question{Sale: ours, Item: 7, User: "ann"}
)
