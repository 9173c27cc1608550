package deployments

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
)

// redisServer runs a server with redis.conf, and returns the URLs that
// secrets.sh made, by role, with its address.
func redisServer(t *testing.T) (address string, urls map[string]string) {
	t.Helper()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	secrets := makeSecrets(t)
	text, err := os.ReadFile(filepath.Join("redis", "redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "/run/secrets/users.acl", filepath.Join(secrets, "redis", "users.acl"), 1)
	config = strings.Replace(config, "dir /data", "dir "+t.TempDir(), 1)
	file := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address, urls = backendstest.RunRedis(t, file).Address, map[string]string{}
	for _, role := range []string{"edge", "allocator"} {
		text, err := os.ReadFile(filepath.Join(secrets, role, "redis_url"))
		if err != nil {
			t.Fatal(err)
		}
		urls[role] = strings.Replace(strings.TrimSpace(string(text)), "redis:6379", address, 1) + "?read_timeout=1m"
	}
	return address, urls
}

// eventually tries until there is no error: after one the cache is left alone for
// a while.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(effort.Patience); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func cacheOf(t *testing.T, url string) *rejection.Cache {
	t.Helper()
	c, err := rejection.Open(rejection.Config{URL: url, Name: "test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Each service does all its work under its account: edges ask, allocators ask,
// learn and forget.
func TestRedisAccountsSuffice(t *testing.T) {
	_, urls := redisServer(t)
	edge, allocator := cacheOf(t, urls["edge"]), cacheOf(t, urls["allocator"])
	id, mark := sale.UUID{1}, rejection.Mark{Generation: 1, Sequence: 2}
	facts := &allocation.Facts{
		Owners: []allocation.Owner{{Item: 7, Code: code.ID{1}}}, SoldOut: true,
		AtLimit: []allocation.UserAtLimit{{User: "ann", Codes: []code.ID{{1}}}},
	}
	ctx := context.Background()
	eventually(t, "the allocator learns", func() error {
		from, err := allocator.Mark(ctx, id)
		if err == nil {
			_, err = allocator.Learn(ctx, id, from, mark, facts)
		}
		return err
	})
	ask := func(want allocation.Reason) {
		t.Helper()
		eventually(t, "an edge asks", func() error {
			answers, err := edge.Ask(ctx, []rejection.Question{{Sale: id, Item: 7, User: "bob", Code: code.ID{2}}})
			if err == nil && answers[0].Reason != want {
				t.Errorf("%v, want %v", answers[0].Reason, want)
			}
			return err
		})
	}
	ask(allocation.SoldOut)
	eventually(t, "the allocator forgets", func() error { return allocator.Forget(ctx, id) })
	ask(allocation.Granted)
	eventually(t, "an edge's probe", func() error { return edge.Probe(ctx) })
	eventually(t, "an allocator's probe", func() error { return allocator.Probe(ctx) })
}

// No account may do more: an edge writes nothing, nobody reads or writes what is
// not the cache's, or administers the server; and nobody comes in without a name.
func TestRedisAccountsMayDoNoMore(t *testing.T) {
	address, urls := redisServer(t)
	everybody := []string{
		"GET else", "HMGET else x", "GET notsal", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SELECT 1",
		"CONFIG GET *", "CONFIG SET maxmemory 1", "ACL LIST", "ACL WHOAMI", "INFO", "CLIENT LIST", "CLIENT KILL TYPE normal", "MONITOR",
		"SHUTDOWN NOSAVE", "SAVE", "REPLICAOF NO ONE", "PUBLISH x y", "SUBSCRIBE x", "MODULE LIST", "SLOWLOG GET", "SCRIPT FLUSH", "FUNCTION LIST",
		"RENAME notsale:a notsale:b", "DUMP notsale:a", "SET else x", "DEL else", "HSET else a b", "LATENCY RESET", "PING",
		"EVAL return(redis.call('GET','else')) 0", "EVAL return(redis.call('FLUSHALL')) 0", "EVAL return(redis.call('SET','else','x')) 1 notsale:a",
	}
	for role, more := range map[string][]string{
		"edge":      {"SET notsale:a x", "DEL notsale:a", "HSET notsale:a b c", "EXPIRE notsale:a 1", "HGET notsale:a b", "EVAL return(1) 1 notsale:a", "EVALSHA x 0"},
		"allocator": nil,
	} {
		options, err := redis.ParseURL(urls[role])
		if err != nil {
			t.Fatal(err)
		}
		options.DisableIdentity = true
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		if err := client.Get(t.Context(), "notsale:a").Err(); err != redis.Nil { //nolint:errorlint // the very value
			t.Errorf("%s reads the cache: %v", role, err)
		}
		for _, command := range append(more, everybody...) {
			var args []any
			for _, word := range strings.Fields(command) {
				args = append(args, word)
			}
			err := client.Do(t.Context(), args...).Err()
			if said := fmt.Sprint(err); !strings.Contains(said, "NOPERM") && !strings.Contains(said, "can't run this command or subcommand") && !strings.Contains(said, "can't access at least one of the keys") {
				t.Errorf("%s: %s: %v, want it to be refused", role, command, err)
			}
		}
	}
	stranger := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = stranger.Close() })
	if err := stranger.Ping(t.Context()).Err(); !strings.Contains(fmt.Sprint(err), "NOAUTH") {
		t.Errorf("without a name: %v", err)
	}
}
