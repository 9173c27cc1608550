//go:build unix

package faults_test

import (
	"net/http"
	"testing"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/process"
	"notsale/pkg/effort"
	"notsale/services/servicetest"
)

// calls is all requests to an edge, and how many of them no answer came to.
func calls(visits []*cluster.Visit, edge *cluster.Process) (all, unanswered int) {
	for _, v := range visits {
		for _, list := range [][]cluster.Call{v.Checkouts, v.Purchases} {
			for i := range list {
				if list[i].Edge != edge {
					continue
				}
				all++
				if list[i].Status == 0 {
					unanswered++
				}
			}
		}
	}
	return all, unanswered
}

// One edge is told to end while purchases wait at it, another is killed: the
// first loses no request, and whoever was cut off at the second gets the true
// answer at the third.
func TestEdgeTerminatedAndKilled(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1500, 4000)})
	edges, allocators := a.StartAll(1, 1, 1, 2)
	leaving := a.Start(cluster.Edge, cluster.Flags("--drain", "5s"))
	edges = append(edges, leaving)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking, Balanced: true})
	crowd.AwaitSold(100)

	allocators[0].Stop()
	var waiting float64
	a.Eventually("purchases wait", func() bool { waiting = leaving.Metric("notsale_edge_waiting"); return waiting >= 3 })
	leaving.Terminate()
	a.Eventually("it is not ready", func() bool {
		status, _ := process.Ask(leaving.Address, "/readyz")
		return status == http.StatusServiceUnavailable
	})
	if status, body := process.Ask(leaving.Address, "/livez"); status != http.StatusOK {
		t.Errorf("not ready, and at once gone: %d %s", status, body)
	}
	allocators[0].Continue()
	a.Eventually("it ends", func() bool { return ended(leaving) })
	if leaving.Status() != 0 {
		t.Errorf("it ended with status %d", leaving.Status())
	}

	killed := edges[0]
	crowd.AwaitSold(a.Sold(1) + 100)
	allocators[0].Stop()
	a.Eventually("purchases wait", func() bool { return killed.Metric("notsale_edge_waiting") >= 1 })
	killed.Kill()
	allocators[0].Continue()

	visits := crowd.Finish()
	all, lost := calls(visits, leaving)
	if lost > 0 {
		t.Errorf("SIGTERM: %d of %d requests got no answer", lost, all)
	}
	reset, cut := calls(visits, killed)
	if cut == 0 {
		t.Error("kill -9: nobody noticed")
	}
	t.Logf("SIGTERM: %d requests, %v waiting, %d lost; kill -9: %d requests, %d cut off", all, waiting, lost, reset, cut)
	a.AskAgain(visits, edges[1:2], 20)
	a.Audit(visits, cluster.Expect{SoldOut: true})
}

// A purchase that waits for longer than a process usually has to stop is
// answered all the same before its edge goes.
func TestAStoppedEdgeAnswersALongWait(t *testing.T) {
	effort.NeedsLong(t)
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 10})
	a.StartAll(1, 0, 0, 0)
	leaving := a.Start(cluster.Edge, cluster.Flags("--purchase-wait", "35s"))
	shop := servicetest.NewShop(t, leaving.Address)
	code := shop.Checkout(t, "ann", 1).Code
	answered := make(chan servicetest.Answer, 1)
	go func() {
		answer, err := shop.Do(http.MethodPost, servicetest.PurchasePath(code))
		if err != nil {
			t.Error(err)
		}
		answered <- answer
	}()
	a.Eventually("the purchase waits", func() bool { return leaving.Metric("notsale_edge_waiting") == 1 })
	leaving.Terminate()
	if answer := <-answered; answer.Status != http.StatusAccepted {
		t.Errorf("%d %s, want 202", answer.Status, answer.Body)
	}
	a.Eventually("it ends", func() bool { return ended(leaving) })
	if leaving.Status() != 0 {
		t.Errorf("it ended with status %d", leaving.Status())
	}
	a.Spoilt() // nobody has decided
}

func ended(p *cluster.Process) bool {
	select {
	case <-p.Ended():
		return true
	default:
		return false
	}
}
