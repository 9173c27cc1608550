//go:build unix

package backendstest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"notsale/pkg/backends"
)

// redisPool hands out the numbered databases of one Redis. Number 0 is nobody's,
// so that a test which forgets its number gets an empty one.
type redisPool struct {
	redis *backends.Redis
	free  chan int
}

func newRedisPool(r *backends.Redis) *redisPool {
	p := &redisPool{redis: r, free: make(chan int, backends.RedisDatabases)}
	for n := 1; n < backends.RedisDatabases; n++ {
		p.free <- n
	}
	return p
}

// take gives a test the URL of an empty database, until the test ends.
func (p *redisPool) take(t testing.TB) string {
	t.Helper()
	select {
	case n := <-p.free:
		u, err := url.Parse(p.redis.URL())
		if err != nil {
			t.Fatalf("URL of test Redis: %v", err)
		}
		u.Path = "/" + strconv.Itoa(n)
		t.Cleanup(func() { p.give(t, n, u.String()) })
		return u.String()
	default:
		t.Fatalf("more than %d tests use Redis at the same time", backends.RedisDatabases-1)
		return ""
	}
}

// give empties a database and lets others have it; one that cannot be emptied
// is nobody's from now on.
func (p *redisPool) give(t testing.TB, n int, address string) {
	if err := flush(address); err != nil {
		t.Errorf("clean up test Redis: %v", err)
		return
	}
	p.free <- n
}

func flush(address string) error {
	options, err := redis.ParseURL(address)
	if err != nil {
		return fmt.Errorf("parse URL: %w", err)
	}
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	options.DisableIdentity = true
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return client.FlushDB(ctx).Err()
}

// RunRedis runs a redis-server with these arguments, beside those of one that
// keeps nothing, on a free loopback port until the test ends. PORT in an argument
// is that port, BUS another. A first argument that is no option is a file of more
// settings.
func RunRedis(t testing.TB, args ...string) *RawRedis {
	t.Helper()
	ports := freePorts(t, 2)
	port, bus := strconv.Itoa(ports[0]), strconv.Itoa(ports[1])
	given := []string{}
	if len(args) > 0 && !strings.HasPrefix(args[0], "--") {
		given, args = []string{args[0]}, args[1:]
	}
	given = append(given, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir())
	for _, arg := range args {
		given = append(given, strings.NewReplacer("PORT", port, "BUS", bus).Replace(arg))
	}
	r := &RawRedis{Port: port, Bus: bus, Address: net.JoinHostPort("127.0.0.1", port), cmd: exec.Command(backends.FindRedis(), given...)}
	r.cmd.Stdout, r.cmd.Stderr = t.Output(), t.Output()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	awaitListener(t, r.Address)
	return r
}

// RawRedis is a redis-server of the settings that a test needs.
type RawRedis struct {
	Address   string // host:port
	Port, Bus string

	cmd *exec.Cmd
}

// Kill ends it with SIGKILL. Killing again does nothing.
func (r *RawRedis) Kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}
