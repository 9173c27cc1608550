//go:build unix

package faults_test

import (
	"testing"

	"notsale/loadtest/faults/cluster"
)

// A pack of a newer version comes to allocators of this one: what comes before
// it is decided, nothing behind it is, a person is told, and the lease is free
// for an allocator that can read it.
func TestNewerPackIsNotDecided(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	edges, allocators := a.StartAll(1, 1, 1, 1)
	visits := a.Crowd(edges, cluster.CrowdOptions{Clients: 4, First: 1, Num: 30}).Finish()
	allocators[0].Stop() // so that what comes now is read at once
	crowd := a.Crowd(edges, cluster.CrowdOptions{Clients: 8, First: 31, Num: 8, Alone: true})
	before := a.Last(1)
	a.Eventually("requests wait", func() bool { return a.Last(1) > before && edges[0].Metric("notsale_edge_waiting") >= 8 })
	newer := a.Publish(1, []byte(`{"v":2,"kind":"pack","edge":"edge-of-tomorrow","shards":[]}`))
	behind := a.Crowd(edges, cluster.CrowdOptions{Clients: 4, First: 41, Num: 4, Alone: true})
	a.Eventually("requests stand behind it", func() bool { return a.Last(1) > newer && edges[0].Metric("notsale_edge_waiting") >= 12 })
	allocators[0].Continue()

	alarms := func(p *cluster.Process) float64 {
		return p.Metric("notsale_allocator_alarms_total", `kind="newer-version"`)
	}
	a.Eventually("the alarm is raised", func() bool { return alarms(allocators[0]) >= 1 })
	a.Eventually("the lease is given back", func() bool {
		return a.Number(`SELECT count(*) FROM leases WHERE sale_id = 1 AND holder = ''`) == 1
	})
	visits = append(visits, crowd.Finish()...) // what stood before it
	another := a.Start(cluster.Allocator)
	a.Eventually("another tries", func() bool { return alarms(another) >= 1 })
	if at := a.Cursor(1); at != newer-1 {
		t.Errorf("the cursor stands at %d, and the newer pack is message %d", at, newer)
	}
	if n := a.Number(`SELECT count(*) FROM items WHERE item_id >= 41`); n != 0 {
		t.Errorf("%d items sold behind it", n)
	}
	if n := a.Sold(1); n != 38 {
		t.Errorf("%d items sold before it, want 38", n)
	}
	// Nobody behind it was told anything final.
	a.EndAll()
	for _, v := range behind.Abandon() {
		if v.Status != 0 {
			t.Errorf("item %d: told %d, from behind the newer pack", v.Item, v.Status)
		}
	}
	for _, v := range visits {
		if v.Status == 0 {
			t.Errorf("item %d: no answer", v.Item)
		}
	}
}
