//go:build unix

package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/process"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// leastShare is how much of the pace is to remain whatever happens to Redis.
const leastShare = 0.3

// Redis is stopped, comes back empty, is given the facts of an earlier moment,
// and is paused: the sale goes on, slower at most, and nobody is refused wrongly.
func TestRedisLost(t *testing.T) {
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1500, 20_000), Stores: []backendstest.Option{backendstest.WithOwnRedis}})
	a.StartAll(1, 1, 1, 0)
	var edges []*cluster.Process
	for range 2 { // whose answers may come late, but come
		edges = append(edges, a.Start(cluster.Edge, cluster.Flags("--purchase-wait", "1m")))
	}
	var crowd *cluster.Crowd
	sample := int64(3000)
	if effort.Long() {
		crowd = a.Crowd(edges, cluster.CrowdOptions{})
	} else {
		sample, crowd = 50, a.Crowd(edges, cluster.CrowdOptions{Pace: 2 * walking})
	}
	crowd.AwaitSold(sample / 2)
	old := snapshot(t, a.RedisURL)
	before := crowd.Rate(sample)

	step := func(name, health string, do func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), cluster.Patience)
		defer cancel()
		if err := do(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rate := crowd.Rate(sample)
		effort.Figure(t, "visits/s with Redis "+name, fmt.Sprintf("%.0f of %.0f", rate, before), fmt.Sprintf("%.0f%%", 100*leastShare))
		checkHealth(t, edges[0], "redis", health)
		if status, body := process.Ask(edges[0].Address, "/readyz"); status != http.StatusOK {
			t.Errorf("%s: readyz %d %s", name, status, body)
		}
	}
	step("killed", "error", func(context.Context) error { return a.Redis.Kill() })
	step("back and empty", "ok", a.Redis.Restart)
	step("old facts", "ok", func(ctx context.Context) error { return restore(ctx, a.RedisURL, old) })
	step("paused", "error", func(context.Context) error { return a.Redis.Pause() })
	step("resumed", "ok", func(context.Context) error { return a.Redis.Resume() })

	visits := crowd.Finish()
	for _, purchases := range []bool{false, true} {
		counts := cluster.Statuses(visits, purchases)
		t.Logf("purchases %v: %v", purchases, counts)
		if counts[0]+counts[http.StatusServiceUnavailable]+counts[http.StatusAccepted] > 0 {
			t.Errorf("purchases %v: %v, but nobody should have noticed", purchases, counts)
		}
	}
	a.AskAgain(visits, edges, 50)
	a.Audit(visits, cluster.Expect{SoldOut: true})
}

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.DisableIdentity = true
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// snapshot is every key of the cache, as Redis serialises it.
func snapshot(t *testing.T, url string) map[string]string {
	t.Helper()
	ctx, c := t.Context(), client(t, url)
	keys, err := c.Keys(ctx, "notsale:*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%d facts: %v", len(keys), err)
	}
	all := map[string]string{}
	for _, k := range keys {
		if all[k], err = c.Dump(ctx, k).Result(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// restore puts the keys back as they were.
func restore(ctx context.Context, url string, all map[string]string) error {
	o, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	c := redis.NewClient(o)
	defer c.Close()
	for k, v := range all {
		if err := c.RestoreReplace(ctx, k, time.Hour, v).Err(); err != nil {
			return err
		}
	}
	return nil
}
