//go:build unix

package faults_test

import (
	"testing"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// Through a pooler in transaction mode, as README sets it up, a sale sells out
// while its leader is killed, and the next one stopped: what it has under way is
// another session's, and its successor cannot end it by name.
func TestSellOutThroughAPooler(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(500, 4000)})
	pooler := backendstest.Pooler(t, a.DatabaseURL, "pool_mode = transaction")
	isRefused(t, a, a.Start(cluster.Scheduler, cluster.Env("DATABASE_URL", pooler), cluster.Unready), "add default_query_exec_mode=cache_describe")
	a.DatabaseURL = pooler + "&default_query_exec_mode=cache_describe"
	edges, allocators := a.StartAll(2, 3, 2, 2)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)
	epoch := a.Epoch(1)
	first, others := a.Leader(allocators)
	first.Kill()
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch })
	crowd.AwaitSold(a.Sold(1) + 100)
	epoch = a.Epoch(1)
	second, _ := a.Leader(others)
	second.Stop()
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch })
	crowd.AwaitSold(a.Sold(1) + 100)
	second.Continue()
	a.Eventually("it knows that the sale is another's", func() bool { return second.Ready() && !second.Leads() })
	visits := crowd.Finish()
	a.AskAgain(visits, edges, 10)
	a.Audit(visits, cluster.Expect{SoldOut: true})
	checkEpochs(t, a)
}
