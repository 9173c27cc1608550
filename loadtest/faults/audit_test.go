//go:build linux

package faults_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// The goals of an audit on two cores.
const (
	auditGoal   = 10 * time.Second // of a million requests and as many attempts
	auditMemory = 300 << 20        // of its process, at its largest
	auditShare  = 0.10             // of the rate of the sale that it audits
)

// audited is what an audit prints with --json, as far as it is looked at.
type audited struct {
	Requests int64             `json:"requests"`
	Attempts int64             `json:"attempts"`
	Findings []json.RawMessage `json:"findings"`
}

func auditOf(t *testing.T, r cluster.Ran) audited {
	t.Helper()
	var report audited
	if err := json.Unmarshal([]byte(r.Out), &report); err != nil || r.Status != 0 {
		t.Fatalf("status %d, %v\n%.2000s\n%.2000s", r.Status, err, r.Out, r.Err)
	}
	return report
}

// A sale of many requests and as many attempts, a million in the long form, is
// audited in seconds.
func TestAuditOfAMillionRequests(t *testing.T) {
	t.Parallel()
	const stock = 10_000
	requests := effort.Of(20_000, 1_000_000)
	a := cluster.New(t, cluster.Options{
		Stock: stock, SaleBytes: 1 << 30, Measured: true, Stores: []backendstest.Option{backendstest.WithOwnPostgres},
	})
	opener := a.Start(cluster.Scheduler)
	a.Start(cluster.Allocator)
	a.Start(cluster.Recorder)
	a.Eventually("the sale is led", func() bool { return a.Epoch(1) > 0 })
	opener.Kill() // it would take the room back once the sale is sold out
	ask(t, a, 0, requests, stock)
	await(a, requests)
	for range 2 { // the second finds the pages in memory
		r := a.Run(t.Context(), "audit", "--sale", "1", "--json")
		report := auditOf(t, r)
		what := fmt.Sprintf("audit of %d requests and %d attempts", report.Requests, report.Attempts)
		effort.Figure(t, what, r.Took, auditGoal)
		effort.Figure(t, what+", memory", megabytes(r.MostRSS), megabytes(auditMemory))
		if report.Requests != int64(requests) || report.Attempts != int64(requests) {
			t.Errorf("audited %d requests and %d attempts of %d", report.Requests, report.Attempts, requests)
		}
		if r.MostRSS > 2*auditMemory {
			t.Errorf("took %d MB, goal %d MB", r.MostRSS>>20, auditMemory>>20)
		}
	}
}

// ask puts requests into the sale's stream, and an attempt for each, in packs
// as an edge under load makes them: the first ones for all items once, the
// others for items that are gone. No user reaches the limit.
func ask(t *testing.T, a *cluster.Cluster, from, to, stock int) {
	const pack = 250
	s, ctx, now := a.Stream(), context.Background(), sale.InstantOf(time.Now())
	var requests []allocation.Request
	var attempts []wire.Attempt
	for n := from; n < to; n++ {
		item := sale.ItemID(n%stock + 1)
		user := sale.UserID("user-" + sale.ItemID(n).String())
		r := allocation.Request{Number: uint64(n) + 1, Item: item, User: user, Expires: now + sale.Instant(time.Hour.Microseconds())}
		binary.BigEndian.PutUint64(r.Code[:], uint64(n)*0x9E3779B97F4A7C15) // spread, as ids are
		binary.BigEndian.PutUint64(r.Code[8:], uint64(n)+1)
		requests = append(requests, r)
		attempts = append(attempts, wire.Attempt{
			ID: sale.UUID(r.Code), At: now, Sale: 1, User: string(user), Item: item.String(), Outcome: wire.Issued, Code: r.Code, Expires: r.Expires,
		})
		if len(requests) < pack && n < to-1 {
			continue
		}
		err := s.PublishAttempts(ctx, 1, wire.AppendAttempts(nil, "test", attempts))
		if err == nil {
			err = s.PublishPack(ctx, 1, wire.AppendPack(nil, "test", requests))
		}
		if err != nil {
			t.Fatal(err)
		}
		requests, attempts = requests[:0], attempts[:0]
	}
}

// await waits until so many requests are decided and attempts recorded.
func await(a *cluster.Cluster, n int) {
	for _, query := range []string{`SELECT position FROM cursors WHERE sale_id = 1`, `SELECT count(*) FROM checkout_attempts`} {
		for done := int64(-1); done < int64(n); { // however many: as long as it goes on
			before := done
			a.Eventually("more is decided and recorded", func() bool { done = a.Number(query); return done > before })
		}
	}
}

// A sale is audited while it sells: it goes on nearly as fast. The audit is
// frozen every other moment, so that whatever else the machine does falls on the
// sale with it and without it alike.
func TestAuditOfARunningSale(t *testing.T) {
	t.Parallel()
	const stock = 1_000_000
	before, moment := effort.Of(5000, 30_000), 500*time.Millisecond
	pace := time.Duration(0)
	if !effort.Long() {
		moment, pace = 50*time.Millisecond, walking
	}
	a := cluster.New(t, cluster.Options{
		Stock: stock, SaleBytes: 1 << 30, Measured: true, Stores: []backendstest.Option{backendstest.WithOwnPostgres, backendstest.WithOwnRedis},
	})
	edges, _ := a.StartAll(1, 1, 1, 1)
	ask(t, a, 0, before, stock)
	await(a, before)
	crowd := a.Crowd(edges, cluster.CrowdOptions{First: int64(before) + 1, Num: int64(stock - before), Clients: 64, Alone: true, Pace: pace})
	position := func() int64 { return a.Number(`SELECT position FROM cursors WHERE sale_id = 1`) }
	a.Eventually("the sale sells", func() bool { return position() > int64(before+effort.Of(100, 10_000)) })

	ctx, end := context.WithCancel(t.Context())
	defer end()
	audit := a.Command(ctx, "audit", "--sale", "1", "--json")
	var watched, quiet sold
	for audit.Running() {
		watched.during(position, moment)
		audit.Stop()
		quiet.during(position, moment)
		audit.Continue()
	}
	r := audit.Wait()
	if at := position(); at >= stock {
		t.Fatalf("the sale was over at position %d", at)
	}
	crowd.Stop()
	slower := 1 - watched.rate()/quiet.rate()
	effort.Figure(t, fmt.Sprintf("a sale of %.0f requests/s, slower while it is audited by", quiet.rate()),
		fmt.Sprintf("%.1f%%", 100*slower), fmt.Sprintf("%.0f%%", 100*auditShare))
	t.Logf("the audit took %v, half of it frozen", r.Took)
	if report := auditOf(t, r); report.Requests <= int64(before) {
		t.Errorf("audited %d requests, there were %d before the crowd came", report.Requests, before)
	}
}

// sold is how many requests were decided in how long.
type sold struct {
	requests int64
	time     time.Duration
}

func (s *sold) during(position func() int64, length time.Duration) {
	from, began := position(), time.Now()
	time.Sleep(length)
	s.requests += position() - from
	s.time += time.Since(began)
}

func (s *sold) rate() float64 { return float64(s.requests) / s.time.Seconds() }
