//go:build unix

package faults_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/backends/backendstest"
)

// With a NATS node of three away, whichever, all roles start together and none
// exits, sales open and sell, and edges get ready, also where the directory was
// made with a single replica, on that node.
func TestClusterWithANodeAway(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 20})
	servers := backendstest.NewCluster(t)
	a.NATSURL = servers.URL()
	a.Eventually("the directory is made", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), oneAnswer)
		defer cancel()
		_, err := a.JetStream().CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "SALES", History: 1, Storage: jetstream.FileStorage})
		return err == nil
	})
	const directory = "KV_SALES"
	t.Cleanup(func() {
		if t.Failed() {
			logReplicas(t, a, directory, "SALE_1", "CHECKOUTS_1", "SALE_2", "CHECKOUTS_2")
		}
	})
	replicated := cluster.Flags("--stream-replicas", "3")
	first := a.Start(cluster.Scheduler, replicated)
	a.Eventually("the directory and the first sale's streams have three replicas", func() bool { return inSync(a, directory, "SALE_1", "CHECKOUTS_1") })
	first.Terminate()
	<-first.Ended()

	away := servers.Holder(directory)
	servers.Stop(away)
	edge := a.Start(cluster.Edge, cluster.Unready)
	all := []*cluster.Process{edge, a.Start(cluster.Allocator, cluster.Unready), a.Start(cluster.Recorder, cluster.Unready)}
	all = append(all, a.Start(cluster.Scheduler, replicated, cluster.Flags("--sale-every", cluster.Later), cluster.Unready))
	a.Eventually("the next sale is open", func() bool {
		return a.Number(`SELECT count(*) FROM sales WHERE sale_id = 2 AND state = 'open'`) == 1
	})
	a.Eventually("the edge lists it", func() bool { return edge.Metric("notsale_edge_sales") >= 2 })
	servers.Start(away)
	a.Eventually("its streams are whole again", func() bool { return inSync(a, directory, "SALE_2", "CHECKOUTS_2") })
	servers.Stop(servers.Holder("SALE_2"))
	visits := a.Crowd([]*cluster.Process{edge}, cluster.CrowdOptions{Sale: 2, Clients: 4}).Finish()
	for _, p := range all {
		select {
		case <-p.Ended():
			t.Errorf("%s has exited", p.Name)
		default:
		}
	}
	a.Audit(visits, cluster.Expect{Sale: 2, SoldOut: true})
}

// oneAnswer is how long an answer of a cluster is waited for before it is asked
// again: a question that comes while nobody leads is never answered.
const oneAnswer = 5 * time.Second

// logReplicas says how far the replicas of streams are.
func logReplicas(t *testing.T, a *cluster.Cluster, names ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), cluster.Patience)
	defer cancel()
	for _, name := range names {
		s, err := a.JetStream().Stream(ctx, name)
		if err != nil || s.CachedInfo().Cluster == nil {
			t.Logf("%s: no replicas: %v", name, err)
			continue
		}
		t.Logf("%s: leader %q", name, s.CachedInfo().Cluster.Leader)
		for _, r := range s.CachedInfo().Cluster.Replicas {
			t.Logf("%s: %+v", name, *r)
		}
	}
}

// inSync reports whether streams have three replicas that have all messages.
func inSync(a *cluster.Cluster, names ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), oneAnswer)
	defer cancel()
	for _, name := range names {
		s, err := a.JetStream().Stream(ctx, name)
		if err != nil {
			return false
		}
		info := s.CachedInfo()
		if info.Config.Replicas != 3 || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
			return false
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline {
				return false
			}
		}
	}
	return true
}
