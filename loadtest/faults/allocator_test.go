//go:build unix

package faults_test

import (
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/faults/proxy"
	"notsale/pkg/effort"
)

// takeover is how soon a lost allocator is to be replaced.
const takeover = 3 * time.Second

// walking is a crowd that leaves time for faults: 32 clients who pause ask some
// 150 times a second, in the long form twice as often.
var walking = 200 * time.Millisecond / time.Duration(effort.Of(1, 2))

// checkEpochs fails if an epoch wrote after a later one had begun.
func checkEpochs(t *testing.T, a *cluster.Cluster) {
	t.Helper()
	late := a.Number(`SELECT count(*) FROM commits AS c WHERE sale_id = 1 AND EXISTS (
		SELECT FROM commits AS e WHERE e.sale_id = 1 AND e.epoch > c.epoch AND e.generation <= c.generation AND e.sequence < c.sequence)`)
	if late > 0 {
		t.Errorf("%d commits of an epoch that was over", late)
	}
}

// tellGap says how long nobody decided since the moment.
func tellGap(t *testing.T, a *cluster.Cluster, since time.Time, what string) {
	t.Helper()
	effort.Figure(t, what+": longest time without a commit", a.LongestGap(1, since), takeover)
}

// The active allocator is killed; then its successor is stopped for ten
// seconds and comes back to a sale that is another's.
func TestAllocatorKilledAndStopped(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1500, 8000)})
	edges, allocators := a.StartAll(1, 3, 1, 2)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)

	from, epoch := time.Now(), a.Epoch(1)
	first, others := a.Leader(allocators)
	first.Kill()
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch })
	crowd.AwaitSold(a.Sold(1) + 100)
	tellGap(t, a, from, "kill -9")

	from, epoch = time.Now(), a.Epoch(1)
	second, _ := a.Leader(others)
	second.Stop()
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch })
	crowd.AwaitSold(a.Sold(1) + 100)
	if effort.Long() {
		a.Eventually("it has slept long enough", func() bool { return time.Since(from) > 10*time.Second })
	}
	second.Continue()
	a.Eventually("it knows that the sale is another's", func() bool { return second.Ready() && !second.Leads() })
	tellGap(t, a, from, "stopped")

	a.Audit(crowd.Finish(), cluster.Expect{SoldOut: true})
	checkEpochs(t, a)
}

// A zombie: the active allocator is stopped with a commit on its way. It wakes
// when another decides, tries again, and is refused.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1000, 4000)})
	zombie := a.Start(cluster.Allocator, cluster.Through)
	edges, _ := a.StartAll(1, 0, 1, 2)
	a.Eventually("the zombie-to-be leads", zombie.Leads)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)

	epoch := a.Epoch(1)
	zombie.ToPostgres.Set(proxy.Blackhole)
	a.Eventually("a commit is on its way", func() bool {
		return zombie.ToPostgres.Held() > 0 && edges[0].Metric("notsale_edge_waiting")+edges[1].Metric("notsale_edge_waiting") >= 3
	})
	zombie.Stop()
	heir := a.Start(cluster.Allocator)
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch && heir.Leads() })
	crowd.AwaitSold(a.Sold(1) + 200)

	zombie.ToNATS.Set(proxy.Blackhole) // it looks after its leases only while NATS answers: so its commit comes first
	zombie.ToPostgres.Set(proxy.Forward)
	zombie.Continue()
	a.Eventually("its commit is refused, and counted", func() bool { return zombie.Metric("notsale_allocator_fenced_total") >= 1 })
	zombie.ToNATS.Set(proxy.Forward)
	a.Eventually("it leads no more", func() bool { return !zombie.Leads() })

	a.Audit(crowd.Finish(), cluster.Expect{SoldOut: true})
	checkEpochs(t, a)
	if n := a.Number(`SELECT count(*) FROM holes`); n != 0 {
		t.Errorf("%d holes", n)
	}
}

// An allocator that is cut off from one of the stores gives way.
func TestAllocatorCutOff(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1500, 6000)})
	allocators := []*cluster.Process{a.Start(cluster.Allocator, cluster.Through), a.Start(cluster.Allocator, cluster.Through)}
	edges, _ := a.StartAll(1, 0, 1, 2)
	leader, _ := a.Leader(allocators)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)
	for _, c := range []struct {
		name string
		from func(*cluster.Process) *proxy.Proxy
	}{
		{"cut from NATS", func(p *cluster.Process) *proxy.Proxy { return p.ToNATS }},
		{"cut from Postgres", func(p *cluster.Process) *proxy.Proxy { return p.ToPostgres }},
	} {
		epoch, from := a.Epoch(1), time.Now()
		cut := leader
		c.from(cut).Set(proxy.Blackhole)
		took := a.Eventually(c.name+": another epoch", func() bool { return a.Epoch(1) > epoch })
		crowd.AwaitSold(a.Sold(1) + 200)
		tellGap(t, a, from, c.name)
		effort.Figure(t, c.name+": the lease is lost after", took, takeover)
		c.from(cut).Set(proxy.Forward)
		a.Eventually("the cut one leads no more", func() bool { return !cut.Leads() })
		leader, _ = a.Leader(allocators)
	}
	a.Audit(crowd.Finish(), cluster.Expect{SoldOut: true})
	checkEpochs(t, a)
}
