//go:build linux

package allocator_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/allocator"
	"notsale/services/servicetest"
)

func (d *desk) awaitHolder(name string) {
	d.t.Helper()
	servicetest.Eventually(d.t, name+" leads", func() bool {
		return d.Count(`SELECT count(*) FROM leases AS l JOIN cursors AS c USING (sale_id, holder, epoch) WHERE holder = $1`, name) == 1
	})
}

// Everyone comes at once when a sale opens: it is led then, not at the next
// renewal.
func TestANewSaleIsLedAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.OpenSale(5, 2)
	d.allocate("allocator-1", func(cfg *allocator.Config) { cfg.Renewal, cfg.LeaseTTL = time.Hour, 3*time.Hour })
	d.decided(first, 1)
	next := d.OpenSale(5, 2)
	directory, err := d.stream.MakeDirectory(t.Context())
	if err == nil {
		err = directory.Put(t.Context(), wire.Entry{Sale: next, State: sale.Open})
	}
	if err != nil {
		t.Fatal(err)
	}
	d.decided(next, 2)
}

// A lease that ends in a year, of a holder that is dead, was written by a clock
// that was wrong. It is no lease.
func TestALeaseThatEndsInAYearIsNone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	d.exec(`INSERT INTO allocators (name, expires_at) VALUES ('dead', clock_timestamp() + interval '1 year')`)
	d.exec(`INSERT INTO leases (sale_id, holder, epoch) VALUES ($1, 'dead', 7)`, int64(of.ID))
	d.allocate("allocator-1", nil)
	d.decided(of, 1)
	d.check(of.ID)
}

// The database's clock is a year ahead for a moment, and goes back; then it goes
// back by an hour. A sale is decided all the time, and a holder that ends is
// replaced.
func TestTheDatabasesClockJumps(t *testing.T) {
	t.Parallel()
	clock := backendstest.NewClock(t)
	d := newDesk(t, clock.Postgres)
	of := d.OpenSale(40, 10)
	id := uint16(0)
	buy := func() {
		id++
		d.decided(of, id)
	}
	stop, _ := d.allocate("allocator-1", nil)
	d.awaitHolder("allocator-1")
	other, _ := d.allocate("allocator-2", nil)
	for _, ahead := range []time.Duration{8766 * time.Hour, 0, -time.Hour} {
		clock.Set(ahead)
		servicetest.Eventually(t, "the database has that time", func() bool {
			return d.Count(`SELECT abs(extract(epoch FROM clock_timestamp()) - $1)::bigint`, time.Now().Add(ahead).Unix()) < 60
		})
		buy()
	}
	// The second has the sale at a time to which the clock does not come back.
	stop()
	buy()
	d.awaitHolder("allocator-2")
	clock.Set(-8766 * time.Hour)
	d.allocate("allocator-3", nil)
	buy()
	d.exec(`INSERT INTO allocators (name, expires_at) SELECT 'killed', expires_at + interval '1 year' FROM allocators WHERE name = 'allocator-2'`)
	d.exec(`UPDATE leases SET holder = 'killed'`) // as one that held it before the clock went back, and died then
	other()
	buy()
	d.awaitHolder("allocator-3")
}

// A takeover whose answer is lost is adopted: the lease is held as soon as the
// ledger says so, in the epoch that it says.
func TestATakeoverWhoseAnswerIsLostIsAdopted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	d.exec(`INSERT INTO allocators (name, expires_at) VALUES ('other', clock_timestamp() + interval '3 seconds')`)
	d.exec(`INSERT INTO leases (sale_id, holder, epoch) VALUES ($1, 'other', 7)`, int64(of.ID))
	d.allocate("allocator-1", nil)
	servicetest.Eventually(t, "it looks after leases", func() bool {
		return d.Count(`SELECT count(*) FROM allocators WHERE name = 'allocator-1'`) == 1
	})
	// What a takeover does, without an answer.
	d.exec(`WITH l AS (UPDATE leases SET holder = 'allocator-1', epoch = 8) UPDATE cursors SET holder = 'allocator-1', epoch = 8`)
	d.decided(of, 1)
	if n := d.Count(`SELECT epoch FROM leases`); n != 8 {
		t.Errorf("epoch %d, want the one that was taken", n)
	}
	d.check(of.ID)
}

// stuckLog is a log that takes nothing any more, from a moment on, and keeps
// whoever writes: as standard error does when it is a full pipe.
type stuckLog struct {
	slog.Handler

	full *atomic.Bool
	free <-chan struct{}
}

func (h stuckLog) Enabled(context.Context, slog.Level) bool { return true }

func (h stuckLog) Handle(ctx context.Context, r slog.Record) error {
	if h.full.Load() {
		<-h.free
	}
	return h.Handler.Handle(ctx, r)
}

func (h stuckLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// A loop that is blocked in whatever, here a write to a log that nobody reads,
// gives its lease up: a lease vouches for the loop, not for the process. And the
// process ends when it is told to.
func TestABlockedLoopGivesItsLeaseUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	free, full := make(chan struct{}), &atomic.Bool{}
	t.Cleanup(func() { close(free) })
	reg := prometheus.NewRegistry()
	log := slog.New(stuckLog{Handler: slog.DiscardHandler, full: full, free: free})
	blocked, err := allocator.New(allocator.DefaultConfig(), d.Ledger("blocked"), d.Stream("blocked"), d.Cache("blocked"), log, reg)
	if err != nil {
		t.Fatal(err)
	}
	stop := d.Run(blocked.Run)
	d.decided(of, 1)
	d.allocate("heir", nil)
	full.Store(true)
	d.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'blocked' AND datname = current_database()`)
	d.decided(of, 2) // the commit fails, which is told to the log
	d.awaitHolder("heir")
	stop()
	d.check(of.ID)
}

// A table that is locked, and a cursor's row that an idle transaction holds, keep
// a sale from being decided: the allocator is not ready meanwhile, and says why.
func TestNotReadyWhileASaleCannotBeDecided(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"a locked table":              `LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE`,
		"a cursor's row that is held": `SELECT FROM cursors FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			of := d.OpenSale(20, 10)
			a, err := allocator.New(allocator.DefaultConfig(), d.Ledger("allocator-1"), d.Stream("allocator-1"), d.Cache("allocator-1"), d.Log, prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			d.Run(a.Run)
			d.decided(of, 1)
			if err := a.Ready(t.Context()); err != nil {
				t.Errorf("before: %v", err)
			}
			tx, err := d.DB.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.Background()) }()
			if _, err := tx.Exec(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			r := d.request(2, 10, "ann")
			d.pack(of.ID, r)
			servicetest.Eventually(t, "it is not ready, and says why", func() bool {
				err := a.Ready(t.Context())
				return err != nil && strings.Contains(err.Error(), "sale 1 is not decided: a commit takes")
			})
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			expectReasons(t, d.awaitReplies(r), allocation.Granted)
			servicetest.Eventually(t, "it is ready again", func() bool { return a.Ready(t.Context()) == nil })
		})
	}
}

// Nobody is told "sold" while a commit stands in one server only, because the
// wait for its synchronous standby was cancelled.
func TestNobodyIsToldOfAnUnconfirmedCommit(t *testing.T) {
	t.Parallel()
	d := newDesk(t, backendstest.WithOwnPostgres)
	of := d.OpenSale(20, 10)
	d.allocate("allocator-1", nil)
	d.decided(of, 1)
	found := d.LoseStandby()
	r := d.request(2, 10, "ann")
	d.pack(of.ID, r)
	stands := `SELECT count(*) FROM decisions`
	servicetest.Eventually(t, "its wait is cancelled", func() bool { return d.CancelWaits() > 0 && d.Count(stands) == 2 })
	for range 5 { // whatever tries to confirm it
		servicetest.Eventually(t, "a wait is cancelled", func() bool { return d.CancelWaits() > 0 })
	}
	servicetest.Eventually(t, "it waits again", func() bool {
		return d.Count(`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`) > 0
	})
	d.mu.Lock()
	_, told := d.replies[r.Number]
	d.mu.Unlock()
	if told {
		t.Error("told of a commit that is not confirmed")
	}
	found()
	expectReasons(t, d.awaitReplies(r), allocation.Granted)
	d.check(of.ID)
}

// Six sold-out sales are asked at once, and restoring each takes long: the
// leases are renewed meanwhile, and no sale changes hands.
func TestRestoresDoNotStarveRenewals(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sales := make([]sale.Sale, 6)
	before, asked := make([]allocation.Request, len(sales)), make([]allocation.Request, len(sales))
	for i := range sales {
		sales[i] = d.OpenSale(1, 1)
		before[i] = d.request(uint16(i), sales[i].FirstItem, "ann")
		d.pack(sales[i].ID, before[i])
	}
	stop, _ := d.allocate("before", nil)
	d.awaitReplies(before...)
	stop()
	d.allocate("allocator-1", nil) // knows none of the decisions
	servicetest.Eventually(t, "it leads", func() bool { return d.Count(`SELECT count(*) FROM cursors WHERE holder = 'allocator-1'`) == 6 })
	d.allocate("allocator-2", nil)

	tx, err := d.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	for i := range sales {
		asked[i] = d.request(uint16(100+i), sales[i].FirstItem, "bob")
		d.pack(sales[i].ID, asked[i])
	}
	servicetest.Eventually(t, "restores wait", func() bool {
		return d.Count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'allocator-1' AND wait_event_type = 'Lock' AND datname = current_database()`) > 0
	})
	from := d.Count(`SELECT extract(epoch FROM expires_at)::bigint FROM allocators WHERE name = 'allocator-1'`)
	servicetest.Eventually(t, "leases are renewed several times over", func() bool {
		return d.Count(`SELECT extract(epoch FROM expires_at)::bigint FROM allocators WHERE name = 'allocator-1'`) >= from+3
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, reply := range d.awaitReplies(asked...) {
		if reply.Reason != allocation.SoldOut {
			t.Errorf("decided %v", reply.Reason)
		}
	}
	if n := d.Count(`SELECT count(*) FROM leases WHERE holder = 'allocator-1' AND epoch = 2`); n != 6 {
		t.Errorf("%d of the leases did not change hands", n)
	}
}
