//go:build unix

package faults_test

import (
	"testing"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/effort"
)

// A history of many operations of 256 clients, 100,000 in the long form, who lose
// the allocator and an edge on the way, is one that a single shop could have given:
// so says the checker, in Audit.
func TestHistoryIsThatOfOneShop(t *testing.T) {
	t.Parallel()
	stock := effort.Of(1000, 30_000)
	a := cluster.New(t, cluster.Options{Stock: stock})
	edges, allocators := a.StartAll(1, 2, 1, 3)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Clients: 256})
	crowd.AwaitSold(int64(stock / 5))
	leader, _ := a.Leader(allocators)
	leader.Kill()
	crowd.AwaitSold(int64(stock / 2))
	edges[2].Kill()
	visits := crowd.Finish()
	a.AskAgain(visits, edges[:2], 2)
	a.Audit(visits, cluster.Expect{SoldOut: true})
	n := 0
	for _, v := range visits {
		n += len(v.Checkouts) + len(v.Purchases) + len(v.Lookups)
	}
	if want := 3 * stock; n < want {
		t.Errorf("%d operations, want %d", n, want)
	}
}
