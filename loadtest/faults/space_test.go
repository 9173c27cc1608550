//go:build unix

package faults_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/loadtest/faults/cluster"
)

// The next sale opens in a store that is nine tenths reserved, and people were
// told long before.
func TestStoreNearlyFull(t *testing.T) {
	t.Parallel()
	const (
		store    = 1 << 30
		perSale  = 64 << 20
		fraction = store / 100
	)
	a := cluster.New(t, cluster.Options{Stock: 100, SaleBytes: perSale, StreamStore: store})
	told := cluster.Flags("--stream-store", strconv.Itoa(store))
	scheduler := a.Start(cluster.Scheduler, told)
	edges, _ := a.StartAll(0, 1, 1, 1)
	alarms := func() float64 { return scheduler.Metric("notsale_scheduler_alarms_total") }
	share := func() float64 { return scheduler.Metric("notsale_scheduler_store_reserved_ratio") }

	// fill reserves until so many hundredths are, as sales of other hours would.
	n := 0
	fill := func(percent int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
		defer cancel()
		info, err := a.JetStream().AccountInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n++
		_, err = a.JetStream().CreateStream(ctx, jetstream.StreamConfig{
			Name: "FILLER_" + strconv.Itoa(n), Subjects: []string{"filler." + strconv.Itoa(n)}, Storage: jetstream.FileStorage,
			MaxBytes: percent*fraction - int64(info.ReservedStore),
		})
		if err != nil {
			t.Fatal(err)
		}
		want := float64(percent)/100 - 0.01
		a.Eventually("the scheduler sees it", func() bool { return share() >= want })
	}
	fill(65)
	if alarms() != 0 {
		t.Error("an alarm at 65%")
	}
	fill(72)
	a.Eventually("the alarm is raised", func() bool { return alarms() == 1 })
	fill(90)

	a.Start(cluster.Scheduler, told, cluster.Flags("--sale-every", cluster.Later))
	a.Eventually("the next sale is open", func() bool {
		return a.Number(`SELECT count(*) FROM sales WHERE sale_id = 2 AND state = 'open'`) == 1
	})
	a.Eventually("the edge lists it", func() bool { return edges[0].Metric("notsale_edge_sales") >= 2 })
	t.Logf("%.0f%% reserved with the next sale", 100*share())
	if s := share(); s > 1 {
		t.Errorf("%.0f%% reserved", 100*s)
	}
	visits := a.Crowd(edges, cluster.CrowdOptions{Sale: 2, Clients: 8}).Finish()
	a.Audit(visits, cluster.Expect{Sale: 2, SoldOut: true})
}

// A store that is hardly larger than what one stream once reserved, as nobody
// tells the scheduler, opens its sale and sells it out, from streams that would
// be full after a hundred requests if they did not grow.
func TestASmallStoreSellsOut(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]cluster.Options{
		"max_file_store 265MB": {Stock: 300, StreamStore: 265 << 20, SaleBytes: 256 << 20},
		"streams that grow":    {Stock: 300, SaleBytes: 16 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := cluster.New(t, o)
			edges, _ := a.StartAll(1, 1, 1, 1)
			a.Audit(a.Crowd(edges, cluster.CrowdOptions{Clients: 8}).Finish(), cluster.Expect{SoldOut: true})
		})
	}
}
