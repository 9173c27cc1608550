//go:build linux

package faults_test

import (
	"net/http"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/faults/proxy"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// slowly is the long form's delay where the issue names one, and in the short
// form just more than the length of a lease.
func slowly(long time.Duration) time.Duration {
	if effort.Long() {
		return long
	}
	return 1200 * time.Millisecond
}

// sells lets a few people buy a few items, and fails unless each of them has got
// one.
func sells(t *testing.T, a *cluster.Cluster, edges []*cluster.Process, first int64) {
	t.Helper()
	for _, v := range a.Crowd(edges, cluster.CrowdOptions{Clients: 4, First: first, Num: 4, Alone: true}).Finish() {
		if v.Status != http.StatusOK {
			t.Errorf("item %d: %d", v.Item, v.Status)
		}
	}
}

// takenOnce lets something that needs a takeover happen, waits for it, and fails
// if one did not do.
func takenOnce(t *testing.T, a *cluster.Cluster, edges []*cluster.Process, first int64, happen func()) {
	t.Helper()
	epoch := a.Epoch(1)
	happen()
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch })
	sells(t, a, edges, first)
	if now := a.Epoch(1); now != epoch+1 {
		t.Errorf("epoch %d went on to %d, which took one lease", epoch, now)
	}
}

// Flushes of a disk take seconds: a sale goes on, slower, and when its
// allocator is gone another leads it.
func TestSlowFlushesAreLed(t *testing.T) {
	t.Parallel()
	flushes := backendstest.NewFlushes(t)
	a := cluster.New(t, cluster.Options{Stock: 100, Stores: []backendstest.Option{backendstest.Durable, flushes.Postgres}})
	edges, allocators := a.StartAll(1, 2, 0, 1)
	leader, others := a.Leader(allocators)
	epoch := a.Epoch(1)
	flushes.Take(slowly(3 * time.Second))
	sells(t, a, edges, 1)
	if now := a.Epoch(1); now != epoch {
		t.Errorf("epoch %d went on to %d, though nobody had gone", epoch, now)
	}
	takenOnce(t, a, edges, 11, leader.Kill)
	a.Eventually("the other leads", others[0].Leads)
	flushes.Take(0)
}

// The way to Postgres is long: a sale goes on, slower, and when its allocator is
// gone another leads it.
func TestSlowRoundTripsAreLed(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	allocators := []*cluster.Process{a.Start(cluster.Allocator, cluster.Through), a.Start(cluster.Allocator, cluster.Through)}
	edges, _ := a.StartAll(1, 0, 0, 1)
	leader, others := a.Leader(allocators)
	const oneWay = 150 * time.Millisecond
	for _, p := range allocators {
		p.ToPostgres.Slow(oneWay, 0)
	}
	sells(t, a, edges, 1)
	takenOnce(t, a, edges, 11, leader.Kill)
	a.Eventually("the other leads", others[0].Leads)
	late := a.Start(cluster.Allocator, cluster.Through) // all its sessions are made on the long way
	late.ToPostgres.Slow(oneWay, 0)
	takenOnce(t, a, edges, 21, func() { others[0].ToNATS.Set(proxy.Blackhole) })
	a.Eventually("the late one leads", late.Leads)
}
