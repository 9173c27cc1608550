package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// long is a lease that does not expire while a test runs.
const long = time.Hour

func renew(t *testing.T, l *ledger.Ledger, ttl time.Duration) []ledger.Lease {
	t.Helper()
	held, err := l.Renew(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(held, func(a, b ledger.Lease) int { return int(a.Sale - b.Sale) })
	return held
}

func take(t *testing.T, l *ledger.Ledger, limit int, skip ...sale.ID) []ledger.Lease {
	t.Helper()
	taken, err := l.Take(t.Context(), long, skip, limit)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(taken, func(a, b ledger.Lease) int { return int(a.Sale - b.Sale) })
	return taken
}

func wantLeases(t *testing.T, what string, got []ledger.Lease, want ...ledger.Lease) {
	t.Helper()
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestOneAllocatorGetsASale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	b, _ := w.open(t, "b")
	w.openSale(t, a, 1, 10, 2)
	w.addSale(t, 2, 10, 2) // in preparation: nobody's yet

	wantLeases(t, "a has nothing at first", renew(t, a, long))
	wantLeases(t, "a takes the sale", take(t, a, 8), ledger.Lease{Sale: 1, Epoch: 1})
	wantLeases(t, "a holds it", renew(t, a, long), ledger.Lease{Sale: 1, Epoch: 1})
	wantLeases(t, "b has nothing", renew(t, b, long))
	wantLeases(t, "b takes nothing", take(t, b, 8))
	wantLeases(t, "a takes nothing more", take(t, a, 8, 1))
	if pos, err := a.Cursor(t.Context(), 1); err != nil || pos.Epoch != 1 {
		t.Errorf("the cursor's epoch is %d, %v", pos.Epoch, err)
	}
}

// A sold-out sale still has requests to answer, so it keeps an allocator.
func TestSoldOutSalesAreLedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	engine := w.openSale(t, a, 1, 1, 1)
	renew(t, a, long)
	take(t, a, 1)
	if err := a.Commit(t.Context(), 1, 1, packed(engine, ask(engine.Sale(), 1, 0, "ann"))); err != nil {
		t.Fatal(err)
	}
	b, _ := w.open(t, "b")
	renew(t, b, long)
	if err := a.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "b takes the sold-out sale", take(t, b, 1), ledger.Lease{Sale: 1, Epoch: 2})
}

// After a's lease has expired, b gets the sale in the next epoch, and nothing
// that a still sends is written.
func TestAnExpiredLeaseGoesToAnother(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, through way) {
		w := newWorld(t)
		w.ledgers = through(t, w.DatabaseURL)
		w.takeOver(t)
	})
}

func (w *world) takeOver(t *testing.T) {
	t.Helper()
	a, _ := w.open(t, "a")
	b, _ := w.open(t, "b")
	engine := w.openSale(t, a, 1, 10, 2)
	renew(t, a, 50*time.Millisecond)
	taken := take(t, a, 1)
	if len(taken) != 1 { // somebody slept for 50 ms; a may retake what is its own
		t.Fatalf("a takes %v", taken)
	}
	if err := a.Commit(t.Context(), 1, 1, packed(engine, ask(engine.Sale(), 1, 0, "ann"))); err != nil {
		t.Fatal(err)
	}
	renew(t, b, long)
	eventually(t, "b takes over", func() error {
		if got := take(t, b, 1); !reflect.DeepEqual(got, []ledger.Lease{{Sale: 1, Epoch: 2}}) {
			return fmt.Errorf("b takes %v", got)
		}
		return nil
	})
	before := w.dump(t)
	batch := packed(engine, ask(engine.Sale(), 2, 1, "ann"))
	eventually(t, "a is fenced", func() error { // its session was ended: the first try may meet that
		err := a.Commit(t.Context(), 1, 1, batch)
		if err == nil {
			t.Fatal("a replaced allocator has committed")
		}
		if !errors.Is(err, ledger.ErrFenced) {
			return err
		}
		return nil
	})
	w.unchanged(t, before)
	eventually(t, "a learns that it holds nothing, on a new session", func() error {
		held, err := a.Renew(t.Context(), long)
		if err == nil && len(held) > 0 {
			t.Fatalf("a holds %v", held)
		}
		return err
	})
	if err := b.Commit(t.Context(), 1, 2, batch); err != nil {
		t.Errorf("the successor goes on: %v", err)
	}
}

// An allocator that was away and finds its lease expired but not taken keeps it.
func TestAnExpiredLeaseMayBeRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	w.openSale(t, a, 1, 10, 2)
	renew(t, a, -time.Second)
	wantLeases(t, "a takes", take(t, a, 1), ledger.Lease{Sale: 1, Epoch: 1})
	wantLeases(t, "a is back in time", renew(t, a, long), ledger.Lease{Sale: 1, Epoch: 1})
	b, _ := w.open(t, "b")
	renew(t, b, long)
	wantLeases(t, "b comes too late", take(t, b, 1))
}

// A successor ends its predecessor's sessions, whatever they wait for, and
// nobody else's.
func TestATakeoverEndsThePredecessorsSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newWorld(t) // another installation on the same server
	a, name := w.open(t, "a")
	b, _ := w.open(t, "b")
	w.openSale(t, a, 1, 10, 2)
	renew(t, a, -time.Second)
	take(t, a, 1)

	stuck := w.session(t, withParameter(t, w.DatabaseURL, "application_name", name))
	bystander := w.session(t, withParameter(t, w.DatabaseURL, "application_name", "edge"+name))
	foreigner := w.session(t, withParameter(t, other.DatabaseURL, "application_name", name))
	ended := make(chan error, 1)
	go func() {
		_, err := stuck.Exec(context.Background(), `SELECT pg_sleep(600)`)
		ended <- err
	}()
	renew(t, b, long)
	wantLeases(t, "b takes over", take(t, b, 1), ledger.Lease{Sale: 1, Epoch: 2})
	select {
	case err := <-ended:
		var pg *pgconn.PgError
		if err == nil || errors.As(err, &pg) && pg.Code != "57P01" {
			t.Errorf("the predecessor's session ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the predecessor's session lives")
	}
	for who, conn := range map[string]*pgx.Conn{"a bystander": bystander, "a namesake in another database": foreigner} {
		if err := conn.Ping(t.Context()); err != nil {
			t.Errorf("%s was ended: %v", who, err)
		}
	}
	eventually(t, "a connects anew", func() error { return a.Ping(t.Context()) })
}

// Somebody has locked a sale's cursor: the others are taken, and that one as soon
// as it is free.
func TestALockedCursorHoldsUpNoOtherSale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	b, name := w.open(t, "b")
	for id := sale.ID(1); id <= 3; id++ {
		w.openSale(t, a, id, 10, 2)
	}
	renew(t, a, -time.Second)
	take(t, a, 8)
	tx, err := w.session(t, w.DatabaseURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM cursors WHERE sale_id = 2 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	renew(t, b, long)
	wantLeases(t, "the others", take(t, b, 8), ledger.Lease{Sale: 1, Epoch: 2}, ledger.Lease{Sale: 3, Epoch: 2})
	last := make(chan []ledger.Lease, 1)
	go func() {
		taken, _ := b.Take(context.WithoutCancel(t.Context()), long, nil, 8)
		last <- taken
	}()
	eventually(t, "it waits for the last", func() error {
		if n := w.one(t, `SELECT count(*)::text FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`, name); n != "1" {
			return errors.New(n)
		}
		return nil
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "the last", <-last, ledger.Lease{Sale: 2, Epoch: 2})
}

func TestReleaseGivesOneLeaseBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	b, _ := w.open(t, "b")
	w.openSale(t, a, 1, 10, 2)
	w.openSale(t, a, 2, 10, 2)
	renew(t, a, long)
	renew(t, b, long)
	take(t, a, 8)
	if err := a.Release(t.Context(), ledger.Lease{Sale: 1, Epoch: 7}); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "a lease of another epoch stays", renew(t, a, long), ledger.Lease{Sale: 1, Epoch: 1}, ledger.Lease{Sale: 2, Epoch: 1})
	if err := b.Release(t.Context(), ledger.Lease{Sale: 1, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "another's lease stays", renew(t, a, long), ledger.Lease{Sale: 1, Epoch: 1}, ledger.Lease{Sale: 2, Epoch: 1})
	if err := a.Release(t.Context(), ledger.Lease{Sale: 1, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "a keeps the other", renew(t, a, long), ledger.Lease{Sale: 2, Epoch: 1})
	wantLeases(t, "b gets it at once", take(t, b, 8), ledger.Lease{Sale: 1, Epoch: 2})
}

func TestRetireGivesAllLeasesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	b, _ := w.open(t, "b")
	for id := sale.ID(1); id <= 3; id++ {
		w.openSale(t, a, id, 10, 2)
	}
	renew(t, a, long)
	renew(t, b, long)
	take(t, a, 8)
	if err := a.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "b takes some", take(t, b, 2), ledger.Lease{Sale: 1, Epoch: 2}, ledger.Lease{Sale: 2, Epoch: 2})
	wantLeases(t, "b takes the rest", take(t, b, 2, 1, 2), ledger.Lease{Sale: 3, Epoch: 2})
	// b has ended the sessions of a, which may retire again all the same.
	eventually(t, "a retires again", func() error { return a.Retire(t.Context()) })
	wantLeases(t, "b keeps them", renew(t, b, long), ledger.Lease{Sale: 1, Epoch: 2}, ledger.Lease{Sale: 2, Epoch: 2}, ledger.Lease{Sale: 3, Epoch: 2})
}

// Sales that an allocator holds, or has given up on purpose, it does not take.
func TestTakePassesOverWhatItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.open(t, "a")
	for id := sale.ID(1); id <= 4; id++ {
		w.openSale(t, a, id, 10, 2)
	}
	renew(t, a, long)
	wantLeases(t, "all but two", take(t, a, 8, 1, 3), ledger.Lease{Sale: 2, Epoch: 1}, ledger.Lease{Sale: 4, Epoch: 1})
	wantLeases(t, "nor what it holds", take(t, a, 8, 1, 3))
}

func TestFiftyAllocatorsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const allocators, sales = 50, 20
	first, _ := w.open(t, "setup")
	for id := sale.ID(1); id <= sales; id++ {
		w.openSale(t, first, id, 10, 2)
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		holders = map[sale.ID][]string{}
	)
	for range allocators {
		l, name := w.open(t, "crowd")
		wg.Go(func() {
			if _, err := l.Renew(t.Context(), long); err != nil {
				t.Error(err)
				return
			}
			leases, err := l.Take(t.Context(), long, nil, 3)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, lease := range leases {
				holders[lease.Sale] = append(holders[lease.Sale], name)
				if lease.Epoch != 1 {
					t.Errorf("%s takes %v in another epoch than the first", name, lease)
				}
			}
		})
	}
	wg.Wait()
	for id, names := range holders {
		holder := w.one(t, `SELECT holder FROM leases WHERE sale_id = $1`, int64(id))
		if len(names) != 1 || names[0] != holder {
			t.Errorf("sale %d went to %v, its row says %s", id, names, holder)
		}
	}
	if len(holders) != sales {
		t.Errorf("%d of %d sales have a holder", len(holders), sales)
	}
}
