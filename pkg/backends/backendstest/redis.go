//go:build unix

package backendstest

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"notsale/pkg/backends"
)

// redisPool hands out the numbered databases of one Redis. Number 0 is nobody's,
// so that a test which forgets its number meets an empty one.
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
