//go:build linux

package faults_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/sale"
)

// The goals.
const (
	readyGoal  = 10 * time.Second
	memoryGoal = 300 << 20
	idleGoal   = 0.05 // of a core, all processes of the program together
)

// Many sales are open, a thousand in the long form, and nobody buys: the program
// is soon ready, and costs little.
func TestThousandIdleSales(t *testing.T) {
	t.Parallel()
	sales := effort.Of(40, 1000)
	a := cluster.New(t, cluster.Options{
		Stock: 10, SaleBytes: 1 << 20, Measured: true, Stores: []backendstest.Option{backendstest.WithOwnPostgres, backendstest.WithOwnRedis},
	})
	// All but the one that the scheduler opens by itself.
	a.Exec(`INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules)
		SELECT n, gen_random_uuid(), (SELECT id FROM installation), to_timestamp(n * 3600), 10, 10, (n - 1) * 10 + 1, n, $2
		FROM generate_series(1, $1::int) AS n`, sales-1, sale.RulesVersion)
	started := time.Now()
	opener := a.Start(cluster.Scheduler)
	for open := int64(-1); open < int64(sales); { // however many: as long as it goes on
		before := open
		a.Eventually("more sales are open", func() bool {
			open = a.Number(`SELECT count(*) FROM sales WHERE state = 'open'`)
			return open > before
		})
	}
	t.Logf("%d sales opened in %v", sales, time.Since(started).Round(10*time.Millisecond))
	opener.Kill()

	var all []*cluster.Process
	for _, role := range []string{cluster.Scheduler, cluster.Allocator, cluster.Recorder, cluster.Edge} {
		all = append(all, a.Start(role, cluster.Unready))
	}
	allocator, edge := all[1], all[3]
	// Led, listed, and read: by the allocator, and by the recorder's consumers.
	took := a.Eventually("every sale is led, listed and read", func() bool {
		return edge.Ready() && edge.Metric("notsale_edge_sales") == float64(sales) &&
			allocator.Metric("notsale_allocator_sales") == float64(sales) && a.Consumers() >= 2*sales
	})
	effort.Figure(t, fmt.Sprintf("ready with %d sales", sales), took, readyGoal)
	if effort.Long() {
		settle(t, all)
		idle(t, a, all)
	}

	of := sale.ID(sales / 2)
	begun := time.Now()
	visits := a.Crowd([]*cluster.Process{edge}, cluster.CrowdOptions{Sale: of, Clients: 1, First: int64(of-1)*10 + 1, Num: 1, Alone: true}).Finish()
	t.Logf("one purchase in sale %d took %v", of, time.Since(begun).Round(time.Millisecond))
	a.Audit(visits, cluster.Expect{Sale: of})
}

// idle looks what the processes take while they do nothing.
func idle(t *testing.T, a *cluster.Cluster, all []*cluster.Process) {
	t.Helper()
	const window = 20 * time.Second
	names := append([]string{}, "scheduler", "allocator", "recorder", "edge", "Postgres", "Redis", "NATS and this test")
	before := usage(a, all)
	time.Sleep(window) // what is measured is doing nothing
	after := usage(a, all)
	var cpu float64
	var memory int64
	for i, name := range names {
		share := (after[i].CPU - before[i].CPU).Seconds() / window.Seconds()
		t.Logf("%-18s %5.2f%% of a core, %4d MB", name, 100*share, after[i].RSS>>20)
		if i >= len(all) {
			continue
		}
		cpu, memory = cpu+share, memory+after[i].RSS
		effort.Figure(t, "memory of an idle "+name, megabytes(after[i].RSS), megabytes(memoryGoal))
		if after[i].RSS > 2*memoryGoal {
			t.Errorf("%s holds %d MB, goal %d", name, after[i].RSS>>20, memoryGoal>>20)
		}
	}
	effort.Figure(t, "the idle program, share of a core", fmt.Sprintf("%.2f%%", 100*cpu), fmt.Sprintf("%.0f%%", 100*idleGoal))
	t.Logf("the program: %d MB", memory>>20)
}

// settle waits until the processes have stopped being busy with their start.
func settle(t *testing.T, all []*cluster.Process) {
	t.Helper()
	const look, calm = time.Second, 0.15
	deadline := time.Now().Add(cluster.Patience)
	for last := cpuOf(all); ; {
		time.Sleep(look) // a share of a second needs a second
		now := cpuOf(all)
		if (now-last).Seconds()/look.Seconds() < calm || time.Now().After(deadline) {
			return
		}
		last = now
	}
}

func cpuOf(all []*cluster.Process) (sum time.Duration) {
	for _, p := range all {
		sum += cluster.UsageOf(p.PID()).CPU
	}
	return sum
}

func usage(a *cluster.Cluster, all []*cluster.Process) (list []cluster.Usage) {
	for _, p := range all {
		list = append(list, cluster.UsageOf(p.PID()))
	}
	return append(list, cluster.FamilyUsage(a.PostgresPID()), cluster.UsageOf(a.RedisPID()), cluster.UsageOf(os.Getpid()))
}

// A sale with many decisions, a million in the long form, changes hands: from nothing, and to a standby
// that has followed.
func TestRecoveryOfAMillionDecisions(t *testing.T) {
	t.Parallel()
	const (
		stock, sold = 10_000, 9_000
		cold, warm  = 5 * time.Second, 2 * time.Second
	)
	decisions := effort.Of(20_000, 1_000_000)
	a := cluster.New(t, cluster.Options{Stock: stock, Measured: true, Stores: []backendstest.Option{backendstest.WithOwnPostgres}})
	a.Start(cluster.Scheduler)
	edge := a.Start(cluster.Edge)
	a.Spoilt() // by fill: the stream knows nothing of that history
	fill(a, decisions, sold)

	// first is one purchase, which waits for whoever decides it.
	next := int64(sold + 1)
	first := func() *cluster.Crowd {
		c := a.Crowd([]*cluster.Process{edge}, cluster.CrowdOptions{First: next, Num: 1, Clients: 1, Alone: true})
		next++
		a.Eventually("it waits", func() bool { return edge.Metric("notsale_edge_waiting") == 1 })
		return c
	}
	commits := func() int64 { return a.Number(`SELECT count(*) FROM commits WHERE sale_id = 1`) }
	// decided is how long it takes from the lease to the first decision.
	decided := func(what string, goal time.Duration, epoch int64) {
		t.Helper()
		before := commits()
		a.Eventually(what+": the lease is taken", func() bool { return a.Epoch(1) > epoch })
		took := a.Within(5*cluster.Patience, what+": the first decision", func() bool { return commits() > before })
		effort.Figure(t, fmt.Sprintf("%s, from the lease to the first of %d decisions", what, decisions), took, goal)
	}

	crowd := first()
	leader := a.Start(cluster.Allocator, cluster.Unready)
	decided("cold", cold, 0)
	visits := crowd.Finish()

	standby := a.Start(cluster.Allocator)
	if effort.Long() {
		settle(t, []*cluster.Process{standby}) // it has followed when it rests
	}
	epoch := a.Epoch(1)
	leader.Kill()
	killed := time.Now()
	crowd = first()
	decided("warm", warm, epoch)
	t.Logf("warm: %v from the kill to the first decision", time.Since(killed).Round(time.Millisecond))
	visits = append(visits, crowd.Finish()...)
	for _, p := range []*cluster.Process{standby, edge} {
		u := cluster.UsageOf(p.PID())
		t.Logf("%s holds %d MB", p.Name, u.RSS>>20)
	}
	for _, v := range visits {
		if v.Status != 200 {
			t.Errorf("item %d: %d", v.Item, v.Status)
		}
	}
}

// fill writes a history into the ledger: so many grants, then refusals. The
// cursor is still at the opening record, which is as in the stream.
func fill(a *cluster.Cluster, decisions, sold int) {
	const index = `CREATE UNIQUE INDEX decisions_code ON decisions (code_id) WHERE code_id IS NOT NULL`
	a.Exec(`DROP INDEX decisions_code`)
	insert := fmt.Sprintf(`INSERT INTO decisions (sale_id, position, code_id, item_id, user_id, reason, decided_at)
		SELECT 1, n, md5(n::text)::uuid, CASE WHEN n <= %[1]d THEN n ELSE 1 + n %% %[1]d END,
			CASE WHEN n <= %[1]d THEN 'u' || (n - 1) / 10 ELSE 'r' || n END, CASE WHEN n <= %[1]d THEN 0 ELSE 5 END, now()
		FROM generate_series($1::bigint, $2::bigint) AS n`, sold)
	const rows = 10_000 // of a statement, which is given a minute
	for first := 1; first <= decisions; first += rows {
		a.Exec(insert, first, min(first+rows-1, decisions))
	}
	a.Exec(index)
	a.Exec(`INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at)
		SELECT item_id, sale_id, user_id, code_id, position, decided_at FROM decisions WHERE reason = 0`)
	a.Exec(`UPDATE cursors SET position = $1, sold = $2, engine_time = now() WHERE sale_id = 1`, decisions, sold)
	a.Exec(`ANALYZE decisions`)
}

func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes>>20) }
