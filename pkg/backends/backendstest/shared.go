//go:build unix

package backendstest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"notsale/pkg/backends"
	"notsale/pkg/effort"
)

const (
	startLimit = 60 * time.Second // of one server; a busy machine is slow
	stopLimit  = 60 * time.Second
	staleAfter = time.Hour // older folders of test processes that have ended are swept
	folderName = "notsale-backendstest-*"
)

// shared holds the servers of this test process.
type shared struct {
	mu      sync.Mutex
	folders []string
	stops   []func(context.Context) error // in the order of the starts

	preparing sync.Mutex
	prepared  map[*backends.Postgres]bool // has its prepared database; guarded by preparing

	ephemeral, durable func() (*backends.Postgres, error)
	redis              func() (*redisPool, error)
}

var process = newShared()

func newShared() *shared {
	s := &shared{prepared: map[*backends.Postgres]bool{}}
	s.ephemeral = sync.OnceValues(func() (*backends.Postgres, error) { return s.startPostgres(true) })
	s.durable = sync.OnceValues(func() (*backends.Postgres, error) { return s.startPostgres(false) })
	s.redis = sync.OnceValues(s.startRedis)
	return s
}

func (s *shared) postgres(durable bool) (*backends.Postgres, error) {
	if durable {
		return s.durable()
	}
	return s.ephemeral()
}

func (s *shared) startPostgres(ephemeral bool) (*backends.Postgres, error) {
	cfg, err := s.config(ephemeral)
	if err != nil {
		return nil, err
	}
	p, err := start(cfg, startSeeded)
	if err == nil {
		s.onStop(p.Stop)
	}
	return p, err
}

func (s *shared) startRedis() (*redisPool, error) {
	cfg, err := s.config(true)
	if err != nil {
		return nil, err
	}
	r, err := start(cfg, backends.StartRedis)
	if err != nil {
		return nil, err
	}
	s.onStop(r.Stop)
	return newRedisPool(r), nil
}

// config is for a server in a new folder, which is removed at the end.
func (s *shared) config(ephemeral bool) (backends.Config, error) {
	sweepOnce()
	cfg, err := newConfig(ephemeral)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.folders = append(s.folders, cfg.Data)
	}
	return cfg, err
}

func (s *shared) onStop(stop func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, stop)
}

// stop stops every server and removes the folders.
func (s *shared) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	for _, stop := range s.stops {
		if err := stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "backendstest:", err)
		}
	}
	for _, folder := range s.folders {
		if err := os.RemoveAll(folder); err != nil {
			fmt.Fprintln(os.Stderr, "backendstest:", err)
		}
	}
	s.stops, s.folders = nil, nil
}

// newConfig makes a folder which, unlike that of t.TempDir, root's children may
// pass through.
func newConfig(ephemeral bool) (backends.Config, error) {
	dir, err := os.MkdirTemp(effort.Folder(), folderName)
	if err == nil {
		err = os.Chmod(dir, 0o711) //nolint:gosec // another user's servers pass through it
	}
	if err != nil {
		return backends.Config{}, fmt.Errorf("folder for test servers: %w", err)
	}
	cfg := backends.DefaultConfig()
	cfg.Data, cfg.Ephemeral = dir, ephemeral
	return cfg, nil
}

// ownConfig is newConfig for a server of one test's own.
func ownConfig(t testing.TB, ephemeral bool) backends.Config {
	t.Helper()
	cfg, err := newConfig(ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(cfg.Data) })
	return cfg
}

// starter is StartPostgres, StartRedis or StartNATS.
type starter[S stopper] func(context.Context, backends.Config, *slog.Logger) (S, error)

type stopper interface {
	Stop(ctx context.Context) error
}

// start starts a server.
func start[S stopper](cfg backends.Config, how starter[S]) (S, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	return how(ctx, cfg, quiet())
}

// own starts a server for one test.
func own[S stopper](t testing.TB, cfg backends.Config, how starter[S]) S {
	t.Helper()
	s, err := start(cfg, how)
	if err != nil {
		t.Fatalf("start test server: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop test server: %v", err)
		}
	})
	return s
}

// sweepOnce removes folders of test processes that were killed: old ones that
// nobody has locked.
var sweepOnce = sync.OnceFunc(func() {
	old, _ := filepath.Glob(filepath.Join(effort.Folder(), folderName)) // only a bad pattern fails
	for _, dir := range old {
		info, err := os.Stat(dir)
		if err == nil && time.Since(info.ModTime()) > staleAfter && !backends.InUse(dir) {
			_ = os.RemoveAll(dir) // another user's stays
		}
	}
})

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Main runs the tests, stops the shared servers, removes their folders, and
// exits. Call it from TestMain.
func Main(m *testing.M) { os.Exit(Runner{M: m}.Run()) }

// Runner is Main for those who need the exit code, such as goleak.
type Runner struct {
	M *testing.M
}

// Run runs the tests, stops the shared servers, removes their folders, and gives
// the exit code.
func (r Runner) Run() int {
	defer process.stop()
	// Unless the command line says otherwise.
	_ = flag.Set("test.parallel", strconv.Itoa(atOnce*runtime.GOMAXPROCS(0)))
	if !effort.Long() && flag.Lookup(randomChecks) != nil {
		_ = flag.Set(randomChecks, fewChecks)
	}
	return r.M.Run()
}

// atOnce is how many parallel tests run for each processor: tests on real servers
// mostly wait, for leases to end and servers to start.
const atOnce = 2

// Random histories are tried on real servers a hundred times in the long form,
// which is rapid's default, and so often in the short one.
const (
	randomChecks = "rapid.checks"
	fewChecks    = "20"
)
