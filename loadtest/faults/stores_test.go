//go:build unix

package faults_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/process"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// outage is how long a store is away in the long form.
const outage = 3 * time.Second

// checkHealth waits until /health of an edge says this of a store, and looks
// that it says nothing bad of the others.
func checkHealth(t *testing.T, edge *cluster.Process, store, want string) {
	t.Helper()
	var text string
	deadline := time.Now().Add(cluster.Patience)
	for {
		status, body := process.Ask(edge.Address, "/health")
		text = body
		got := map[string]string{}
		if json.Unmarshal([]byte(body), &got) == nil && got[store] == want {
			if (status == http.StatusOK) != (got["status"] == "ok") {
				t.Errorf("/health answers %d %s", status, body)
			}
			bad := 0
			for _, name := range []string{"database", "redis", "nats"} {
				if got[name] != "ok" {
					bad++
				}
			}
			if wanted := map[string]int{"ok": 0, "error": 1}[want]; bad == wanted && (status == http.StatusOK) == (bad == 0) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("/health does not say that %s is %s: %s", store, want, text)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// awayLong keeps a store away for a while, in the long form.
func awayLong(a *cluster.Cluster, since time.Time) {
	if effort.Long() {
		a.Eventually("it was away long enough", func() bool { return time.Since(since) > outage })
	}
}

func isReady(edge *cluster.Process) bool {
	status, _ := process.Ask(edge.Address, "/readyz")
	return status == http.StatusOK
}

// NATS is away for a while under load.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1000, 6000)})
	edges, _ := a.StartAll(1, 2, 2, 2)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)
	a.StopNATS()
	down := time.Now()
	a.Eventually("no edge is ready", func() bool { return !isReady(edges[0]) && !isReady(edges[1]) })
	checkHealth(t, edges[0], "nats", "error")
	before := crowd.Pushbacks()
	a.Eventually("shoppers are sent away", func() bool { return crowd.Pushbacks() > before })
	awayLong(a, down)
	refused, sold := crowd.Pushbacks()-before, a.Sold(1)
	a.StartNATS()
	took := a.Eventually("it sells again", func() bool { return a.Sold(1) > sold })
	a.Eventually("the edges are ready", func() bool { return isReady(edges[0]) && isReady(edges[1]) })
	checkHealth(t, edges[0], "nats", "ok")
	visits := crowd.Finish()
	effort.Figure(t, "sold again after NATS was back", took, 3*time.Second)
	t.Logf("%d answers 503 meanwhile; purchases %v", refused, cluster.Statuses(visits, true))
	a.Audit(visits, cluster.Expect{SoldOut: true})
}

// Postgres is killed and comes back, and then loses all its sessions, under load.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1000, 6000), Stores: []backendstest.Option{backendstest.WithOwnPostgres}})
	edges, _ := a.StartAll(1, 2, 2, 2)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)
	if err := a.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	down := time.Now()
	checkHealth(t, edges[0], "database", "error")
	for _, e := range edges {
		if !isReady(e) {
			t.Errorf("%s is not ready, for which NATS is enough", e.Name)
		}
	}
	a.Eventually("purchases wait", func() bool {
		return edges[0].Metric("notsale_edge_waiting")+edges[1].Metric("notsale_edge_waiting") >= 3
	})
	awayLong(a, down)
	starting := time.Now()
	if err := a.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sold int64
	a.Eventually("it answers", func() bool { sold = a.Sold(1); return sold >= 0 })
	took := a.Eventually("it sells again", func() bool { return a.Sold(1) > sold })
	checkHealth(t, edges[0], "database", "ok")

	crowd.AwaitSold(a.Sold(1) + 100)
	from := time.Now()
	a.Number(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	crowd.AwaitSold(a.Sold(1) + 100)
	effort.Figure(t, "all sessions of Postgres ended: longest time without a commit", a.LongestGap(1, from), 5*time.Second)

	visits := crowd.Finish()
	for _, v := range visits {
		for i := range v.Purchases {
			if c := &v.Purchases[i]; c.Status == http.StatusOK && c.At.After(down) && c.End.Before(starting) {
				t.Fatalf("told sold while Postgres was away: %s", c.Body)
			}
		}
	}
	effort.Figure(t, "sold again after Postgres answered", took, 5*time.Second)
	t.Logf("purchases %v", cluster.Statuses(visits, true))
	a.Audit(visits, cluster.Expect{SoldOut: true})
}
